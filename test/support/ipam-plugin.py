#!/usr/bin/env python3
"""An IPAM plugin of Docker's protocol (libnetwork docs/ipam.md), with nothing but the standard library: an opinion of its own
on what Weft sends. Requests are held to the protocol (fields, types); books are kept by the ipaddress module.

  ipam-plugin.py SOCKET [--mac] [--replay] [--old] [--implements KINDS] [--state FILE] [--tls CERT KEY [--client-ca CERT]]

SOCKET: a path, or tcp:PORT (0: any). With --client-ca only who has a certificate of that authority is served. Prints one JSON line per request, and {"ready": PORT} first. Three functions are not
of the protocol: /Test.Books answers pools and addresses, /Test.TakeBooks empties them too, /Test.Fail {"method", "how"} makes the next call of a method fail:
"error" ({"Error"}), "hang", "drop" (the connection closes), "huge", "garbage", "{...}" (it is the answer), or any text as the
plugin's refusal.
"""

import argparse
import ipaddress
import json
import os
import socketserver
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler

parser = argparse.ArgumentParser()
parser.add_argument("socket")
parser.add_argument("--mac", action="store_true")
parser.add_argument("--replay", action="store_true")
parser.add_argument("--old", action="store_true", help="has no GetCapabilities")
parser.add_argument("--implements", default="IpamDriver")
parser.add_argument("--state")
parser.add_argument("--tls", nargs=2)
parser.add_argument("--client-ca")
options = parser.parse_args()

lock = threading.Lock()
failures = {}
books = {}  # pool id -> {"pool", "range", "addresses"}
BASES = {False: ("10.77.0.0/16", 24), True: ("fd77::/48", 64)}


class Refused(Exception):
    pass


def load():
    if options.state and os.path.exists(options.state):
        with open(options.state) as file:
            books.update(json.load(file))


def save():
    if options.state:
        with open(options.state + ".new", "w") as file:
            json.dump(books, file)
        os.replace(options.state + ".new", options.state)


def fields(body, **types):
    if not isinstance(body, dict) or set(body) != set(types):
        raise Refused(f"malformed request: fields {sorted(body or [])}, not {sorted(types)}")
    for name, kind in types.items():
        if not isinstance(body[name], kind):
            raise Refused(f"malformed request: {name} is {body[name]!r}")


def text_map(value):
    if value is not None and not all(isinstance(k, str) and isinstance(v, str) for k, v in value.items()):
        raise Refused("malformed request: options must be texts")


def pool_of(body):
    pool = books.get(body["PoolID"])
    if pool is None:
        raise Refused(f"unknown pool {body['PoolID']}")
    return pool


def request_pool(body):
    fields(body, AddressSpace=str, Pool=str, SubPool=str, Options=dict, V6=bool)
    text_map(body["Options"])
    if body["AddressSpace"] not in ("plocal", "pglobal"):
        raise Refused(f"unknown address space {body['AddressSpace']}")
    if body["SubPool"] and not body["Pool"]:
        raise Refused("a sub pool without a pool")
    mine = [ipaddress.ip_network(one["pool"]) for key, one in books.items() if key.startswith(body["AddressSpace"])]
    if body["Pool"]:
        pool = ipaddress.ip_network(body["Pool"])
        if any(pool.version == other.version and pool.overlaps(other) for other in mine):
            raise Refused("Pool overlaps with other one on this address space")
    else:
        base, length = BASES[body["V6"]]
        free = (n for n in ipaddress.ip_network(base).subnets(new_prefix=length) if n not in mine)
        pool = next(free)
    if (pool.version == 6) != body["V6"]:
        raise Refused("V6 does not fit the pool")
    key = f"{body['AddressSpace']}/{pool}"
    books[key] = {"pool": str(pool), "range": body["SubPool"] or str(pool), "addresses": []}
    data = {}
    if "gateway" in body["Options"]:
        data["com.docker.network.gateway"] = body["Options"]["gateway"]
    return {"PoolID": key, "Pool": str(pool), "Data": data}


def release_pool(body):
    fields(body, PoolID=str)
    pool_of(body)
    del books[body["PoolID"]]
    return {}


def request_address(body):
    fields(body, PoolID=str, Address=str, Options=(dict, type(None)))
    text_map(body["Options"])
    wish = body["Options"] or {}
    if options.mac and "RequestAddressType" not in wish and not body["Address"]:
        if "com.docker.network.endpoint.macaddress" not in wish:
            raise Refused("this plugin needs the MAC address")
    pool = pool_of(body)
    network = ipaddress.ip_network(pool["pool"])
    if body["Address"]:
        address = ipaddress.ip_address(body["Address"])
        if address not in network:
            raise Refused("requested address is out of range")
        if str(address) in pool["addresses"]:
            raise Refused("Address already in use")
    else:
        # next() and not list(): a /64 has no end.
        free = (a for a in ipaddress.ip_network(pool["range"]).hosts() if str(a) not in pool["addresses"])
        address = next(free, None)
        if address is None:
            raise Refused("no available addresses on this pool")
    pool["addresses"].append(str(address))
    return {"Address": f"{address}/{network.prefixlen}", "Data": {}}


def release_address(body):
    fields(body, PoolID=str, Address=str)
    pool = pool_of(body)
    if body["Address"] not in pool["addresses"]:
        raise Refused(f"address {body['Address']} was not given")
    pool["addresses"].remove(body["Address"])
    return {}


def take_books(_):
    taken = dict(books)
    books.clear()
    return taken


METHODS = {
    "/Plugin.Activate": lambda _: {"Implements": options.implements.split(",")},
    "/IpamDriver.GetCapabilities": lambda _: {"RequiresMACAddress": options.mac, "RequiresRequestReplay": options.replay},
    "/IpamDriver.GetDefaultAddressSpaces": lambda _: {"LocalDefaultAddressSpace": "plocal", "GlobalDefaultAddressSpace": "pglobal"},
    "/IpamDriver.RequestPool": request_pool,
    "/IpamDriver.ReleasePool": release_pool,
    "/IpamDriver.RequestAddress": request_address,
    "/IpamDriver.ReleaseAddress": release_address,
    "/Test.Books": lambda _: books,
    "/Test.TakeBooks": take_books,
    "/Test.Fail": lambda body: failures.update({body["method"]: body["how"]}) or {},
}
if options.old:
    del METHODS["/IpamDriver.GetCapabilities"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        if not self.path.startswith("/Test."):
            line = {"path": self.path, "http": self.request_version, "headers": dict(self.headers), "body": body}
            if options.tls:
                line["client"] = [value for part in (self.connection.getpeercert() or {}).get("subject", ()) for _, value in part]
            print(json.dumps(line), flush=True)
        how = failures.pop(self.path.split(".")[-1], None)
        if how == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if how == "hang":
            threading.Event().wait(60)
            return
        if how == "huge":
            return self.answer(200, b" " * (4 * 1024 * 1024))
        if how == "garbage":
            return self.answer(200, b"<html>")
        if how is not None and how.startswith("{"):
            return self.answer(200, how.encode())
        method = METHODS.get(self.path)
        if method is None:
            return self.answer(404, b"404 page not found\n")
        try:
            if how is not None:
                raise Refused(how)
            with lock:
                answer = method(body)
                save()
            self.answer(200, json.dumps(answer).encode())
        except Refused as reason:
            self.answer(200, json.dumps({"Error": str(reason)}).encode())

    def answer(self, status, payload):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        try:
            self.wfile.write(payload)
        except BrokenPipeError:
            self.close_connection = True

    def address_string(self):
        return "weft"

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


class TlsServer(TcpServer):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*options.tls)
        if options.client_ca:
            self.context.load_verify_locations(options.client_ca)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def finish_request(self, request, client_address):
        try:
            with self.context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError as error:
            print(json.dumps({"path": "", "http": "", "headers": {}, "body": None, "refused": str(error)}), flush=True)


load()
if options.socket.startswith("tcp:"):
    server = (TlsServer if options.tls else TcpServer)(("127.0.0.1", int(options.socket[4:])), Handler)
    port = server.server_address[1]
else:
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    server = UnixServer(options.socket, Handler)
    port = 0
print(json.dumps({"ready": port}), flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
