# A DNS server for tests, on UDP and TCP port 53 of one address: answers by a table and counts what it is asked.
#
#   dns-double.py ADDRESS [name=answer ...]
#
# An answer is an IPv4 address (A, TTL 60), "nxdomain", "servfail", "refused", "silent", "big" (truncated by UDP, 40 addresses by
# TCP), "soon" (192.0.2.1, TTL 1) or "counted" (192.0.2.n for the n-th question, TTL 60). Other names are 192.0.2.99. Prints one
# line a question: `udp NAME TYPE FROM`.
import socket, struct, sys, threading

address = sys.argv[1]
table = dict(pair.split("=") for pair in sys.argv[2:])
counts = {}


def record(ip, ttl):
    return struct.pack("!HHHIH", 0xC00C, 1, 1, ttl, 4) + socket.inet_aton(ip)


def answer(query, proto, peer):
    end, labels = 12, []
    while query[end]:
        labels.append(query[end + 1 : end + 1 + query[end]].decode("latin1"))
        end += 1 + query[end]
    kind = struct.unpack("!H", query[end + 1 : end + 3])[0]
    question = query[12 : end + 5]
    name = ".".join(labels)
    print(proto, name, kind, peer, flush=True)
    what = table.get(name.lower(), "192.0.2.99")
    counts[name] = counts.get(name, 0) + 1
    rcode, flags, records = 0, 0x8180, []
    if what == "silent":
        return None
    if what in ("nxdomain", "servfail", "refused"):
        rcode = {"nxdomain": 3, "servfail": 2, "refused": 5}[what]
    elif what == "big":
        if proto == "udp":
            flags |= 0x0200
        else:
            records = [record("192.0.2.%d" % n, 60) for n in range(1, 41)]
    elif kind == 1:
        ip = "192.0.2.%d" % counts[name] if what == "counted" else "192.0.2.1" if what == "soon" else what
        records = [record(ip, 1 if what == "soon" else 60)]
    return query[:2] + struct.pack("!HHHHH", flags | rcode, 1, len(records), 0, 0) + question + b"".join(records)


def stream(connection, peer):
    with connection:
        while head := connection.recv(2, socket.MSG_WAITALL):
            query = connection.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
            reply = answer(query, "tcp", peer[0])
            if reply is not None:
                connection.sendall(struct.pack("!H", len(reply)) + reply)


def listen():
    while True:
        threading.Thread(target=stream, args=tcp.accept(), daemon=True).start()


family = socket.AF_INET6 if ":" in address else socket.AF_INET
tcp = socket.create_server((address, 53), family=family)
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.bind((address, 53))
threading.Thread(target=listen, daemon=True).start()
print("ready", flush=True)
while True:
    query, peer = udp.recvfrom(65535)
    reply = answer(query, "udp", peer[0])
    if reply is not None:
        udp.sendto(reply, peer)
