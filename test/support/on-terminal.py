# Runs a command on a pseudo-terminal, as a person's terminal emulator would: the first lines of standard input say what to do.
#   size ROWS COLUMNS   type TEXT (with \n, \x03)   until TEXT (in what was printed since the last `until`)   kill SIGNAL
#   slow SECONDS (from now on it needs them for each 4 KiB, as a terminal behind a slow line does)
# Prints what the terminal shows, and in the end "exit CODE" and whether the terminal's settings are as they were.
import os, select, signal, struct, sys, termios, fcntl, time

def size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

steps = [line.rstrip("\n") for line in sys.stdin]
master, slave = os.openpty()
size(master, 30, 100)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 256)
    os.execvp(sys.argv[1], sys.argv[1:])
shown, seen, needed = b"", 0, 0

def read(deadline):
    global shown
    ready, _, _ = select.select([master], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        return False
    shown += os.read(master, 4096)
    time.sleep(needed)
    return True

for step in steps:
    word, _, rest = step.partition(" ")
    if word == "size":
        size(master, *map(int, rest.split()))
    elif word == "type":
        os.write(master, rest.encode().decode("unicode_escape").encode())
    elif word == "slow":
        needed = float(rest)
    elif word == "kill":
        os.kill(pid, int(rest))
    elif word == "until":
        deadline = time.monotonic() + 10
        while shown.find(rest.encode(), seen) < 0:
            if read(deadline):
                deadline = time.monotonic() + 10 # what goes on is waited for: a loaded machine shows a lot slowly
            else:
                print("never shown:", rest, "in", shown)
                os.kill(pid, signal.SIGKILL)
                sys.exit(1)
        seen = shown.find(rest.encode(), seen) + len(rest)
deadline = time.monotonic() + 10
while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    if time.monotonic() > deadline:
        os.kill(pid, signal.SIGKILL)
    read(min(deadline, time.monotonic() + 0.02))
while read(time.monotonic()):
    pass
sys.stdout.buffer.write(shown.replace(b"\r\n", b"\n"))
code = os.waitstatus_to_exitcode(status)
print("\nexit", code, "restored" if termios.tcgetattr(slave) == before else "raw")
