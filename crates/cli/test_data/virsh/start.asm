# The start sector of the small guest (GNU as, 16 bits): says `ready` on the first serial port, then says in capitals what it is
# told there; `q` and the power button power off, `r` resets. It halts between timer ticks, so that it takes no processor.
#   as --32 start.asm -o start.o && ld -m elf_i386 -Ttext 0 --oformat binary start.o -o start.bin
.code16
.globl _start
_start:
  xor %ax,%ax
  mov %ax,%ds
  mov %ax,%ss
  mov $0x7c00,%sp
  cld
  mov $0x602,%dx
  mov $0x100,%ax
  out %ax,%dx          # power button: status bit wanted
  mov $msg+0x7c00,%si
1: lodsb
  test %al,%al
  jz wait
  call put
  jmp 1b
wait:
  sti
  hlt
again:
  mov $0x600,%dx
  in %dx,%ax
  test $1,%ah
  jnz off
  mov $0x3fd,%dx
  in %dx,%al
  test $1,%al
  jz wait
  mov $0x3f8,%dx
  in %dx,%al
  cmp $'q',%al
  je off
  cmp $'r',%al
  je reset
  and $0xdf,%al        # in capitals
  call put
  jmp again
put:
  push %ax
  mov $0x3fd,%dx
2: in %dx,%al
  test $0x20,%al
  jz 2b
  pop %ax
  mov $0x3f8,%dx
  out %al,%dx
  ret
off:
  mov $0x604,%dx
  mov $0x2000,%ax
  out %ax,%dx
  hlt
reset:
  mov $0xcf9,%dx
  mov $6,%al
  out %al,%dx
  hlt
msg: .asciz "ready\r\n"
