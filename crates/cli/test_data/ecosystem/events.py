# Defines a guest, starts it paused, resumes, destroys and undefines it, and the same with a pool; prints what happened
# as libvirt's Python bindings tell it: name, event, detail.
import sys
import threading

import libvirt

uri, directory = sys.argv[1:3]
libvirt.virEventRegisterDefaultImpl()


def serve():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=serve, daemon=True).start()
connection = libvirt.open(uri)
seen = []
arrived = threading.Condition()


def note(*what):
    with arrived:
        seen.append(what)
        arrived.notify_all()


def wait(count):
    with arrived:
        arrived.wait_for(lambda: len(seen) >= count, 30)
        for line in seen:
            print(*line)
        seen.clear()


connection.domainEventRegisterAny(
    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    lambda _, domain, event, detail, __: note(domain.name(), event, detail), None)
connection.storagePoolEventRegisterAny(
    None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
    lambda _, pool, event, detail, __: note(pool.name(), event, detail), None)

domain = connection.defineXML("""
    <domain type='qemu'><name>by-python</name><memory unit='MiB'>64</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>""")
domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
print("state", *domain.state())
domain.resume()
print("state", *domain.state())
domain.destroy()
domain.undefine()
wait(7)

pool = connection.storagePoolDefineXML(
    "<pool type='dir'><name>pool</name><target><path>%s/pool</path></target></pool>" % directory)
pool.build()
pool.create()
volume = pool.createXML("<volume><name>v</name><capacity unit='M'>1</capacity></volume>")
print("volume", *volume.info())
volume.delete()
pool.destroy()
pool.delete()
pool.undefine()
wait(6)
