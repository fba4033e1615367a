"""Talks to a guest that echoes: the console is one client's, --force takes it away, bytes go both ways."""
import sys
import libvirt

connection = libvirt.open(sys.argv[1])
domain = connection.lookupByName("devices")


def opened(flags):
    stream = connection.newStream(0)
    domain.openConsole(None, stream, flags)
    return stream


def received(stream, wanted):
    seen = b""
    while wanted not in seen:
        seen += stream.recv(1 << 16)
    return seen


first = opened(0)
first.send(b"one\n")
received(first, b"one\n")
try:
    opened(0)
except libvirt.libvirtError as error:
    print(error)
second = opened(libvirt.VIR_DOMAIN_CONSOLE_FORCE)
try:
    received(first, b"never")
except libvirt.libvirtError as error:
    print(error.get_error_code(), error.get_error_domain(), error)
many = b"0123456789abcdef" * 256
for _ in range(4):
    second.send(many)
    received(second, many[-64:])
second.finish()
third = opened(0)
third.send(b"three\n")
received(third, b"three\n")
third.finish()
try:
    stream = connection.newStream(0)
    domain.openConsole("nope", stream, 0)
except libvirt.libvirtError as error:
    print(error)
print("done")
