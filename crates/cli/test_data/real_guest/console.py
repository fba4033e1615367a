# Types a line at a guest's console, and prints the lines of the answer that hold a word.
#   console.py URI DOMAIN LINE WORD
import sys

import libvirt

uri, name, line, word = sys.argv[1:]
connection = libvirt.open(uri)
stream = connection.newStream()
connection.lookupByName(name).openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
stream.send(b"\n" + line.encode() + b"\n")
said = b""
while word.encode() not in said.rpartition(b"\n")[0]:
    said += stream.recv(1024)
for said in said.decode(errors="replace").splitlines():
    if word in said:
        print("console:", said)
stream.abort()
