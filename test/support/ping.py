# Sends exactly so many echo requests and waits for the answers, two seconds for the last: iputils' ping waits but two round
# trips for that one, too short on a busy machine, or sends more requests until as many as asked are answered.
# Arguments: address, count, seconds between requests, 0: each once the one before is answered. Prints "SENT RECEIVED"; an answer
# counts once.
import os, select, socket, struct, sys, time

address, count, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
is_ipv6 = ":" in address
if is_ipv6:
    link = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    request, reply, offset = 128, 129, 0
else:
    link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    request, reply, offset = 8, 0, 20
link.connect((address, 0))
link.setblocking(False)
identifier = os.getpid() & 0xFFFF
answered = set()


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def send(sequence):
    body = struct.pack("!HH", identifier, sequence) + bytes(range(56))
    # The kernel fills in ICMPv6's checksum, which covers addresses too.
    sum16 = 0 if is_ipv6 else checksum(struct.pack("!BBH", request, 0, 0) + body)
    try:
        link.send(struct.pack("!BBH", request, 0, sum16) + body)
    except OSError:
        pass  # an error of an earlier one's: nobody answered for the neighbour


def receive(wanted, until):
    while len(answered) < wanted and (left := until - time.monotonic()) > 0:
        if not select.select([link], [], [], left)[0]:
            return
        try:
            packet = link.recv(65536)[offset:]
        except OSError:
            continue
        kind, _, _, of, sequence = struct.unpack("!BBHHH", packet[:8])
        if kind == reply and of == identifier:
            answered.add(sequence)


start = time.monotonic()
for sequence in range(1, count + 1):
    send(sequence)
    if interval == 0:
        receive(sequence, time.monotonic() + 2)
    else:
        receive(count, start + sequence * interval)
receive(count, time.monotonic() + 2)
print(count, len(answered))
