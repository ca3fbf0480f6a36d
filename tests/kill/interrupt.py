"""Runs a command-line client in a terminal of its own, interrupts a long statement with Ctrl-C, and goes on with it.

Arguments: the client's command. Prints what the terminal showed; the exit code is 0 if the client answered afterwards.
"""
import os
import pty
import select
import sys
import time

LONG = "SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c;\n"
shown = b""


def read_until(wanted, seconds):
    global shown
    start = len(shown)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                return False
            if wanted in shown[start:]:
                return True
    return False


child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
good = read_until(b"> ", 20)
os.write(terminal, LONG.encode())
good = good and read_until(b"b, information_schema.COLUMNS c;", 10)
time.sleep(1.5)
# The terminal turns this into a SIGINT for the client.
os.write(terminal, b"\x03")
good = good and read_until(b"1317", 20)
os.write(terminal, b"SELECT CONCAT('still ', 'here');\n")
good = good and read_until(b"still here", 20)
os.write(terminal, b"exit\n")
read_until(b"Bye", 5)
sys.stdout.buffer.write(shown)
sys.exit(0 if good else 1)
