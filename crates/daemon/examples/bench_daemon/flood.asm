# The start sector of a guest that prints without end (GNU as, 16 bits). Where PCI slot 4 has a virtio console, it gives
# that console's first port pages full of `U`, 128 buffers of 64 KiB at a time, and halts while the device reads them;
# otherwise it writes `U` to the first serial port, a byte at a time.
#   as --32 flood.asm -o flood.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary flood.o -o flood.bin
.code16
.globl _start
.set ring, 0x1000        # segment of the queue: descriptors, 0x800: what is there, 0x1000: what was read
.set text, 0x2000        # segment of the buffer, 64 KiB
_start:
  ljmp $0,$1f
1: cli
  xor %ax,%ax
  mov %ax,%ds
  mov %ax,%ss
  mov $0x7c00,%sp
  cld
  mov $0x80002000,%eax   # slot 4: vendor and device
  call config
  cmp $0x10031af4,%eax
  jne serial
  mov $0x80002010,%eax   # its ports
  call config
  and $0xfffc,%ax
  mov %ax,base
  mov $0x8000203c,%eax   # its interrupt, 8 or higher
  call config
  movzbw %al,%bx
  add $0x68,%bx
  shl $2,%bx
  movw $heard,(%bx)
  movw $0,2(%bx)
  mov $0x80002004,%eax   # it answers on its ports and reads memory
  call config
  mov $7,%eax
  out %eax,%dx
  xor %al,%al
  out %al,$0x21
  out %al,$0xa1
  mov $ring,%ax          # the queue: 128 times the same buffer
  mov %ax,%es
  xor %di,%di
  xor %eax,%eax
  mov $0x800,%cx
  rep stosl
  xor %di,%di
  mov $128,%cx
2: movl $text<<4,%es:(%di)
  movl $0x10000,%es:8(%di)
  add $16,%di
  loop 2b
  mov $0x804,%di
3: stosw
  inc %ax
  cmp $128,%ax
  jne 3b
  mov $text,%ax
  mov %ax,%es
  xor %di,%di
  mov $0x55555555,%eax
  mov $0x4000,%cx
  rep stosl
  mov $ring,%ax
  mov %ax,%es
  mov $18,%bx            # reset, seen, driven
  xor %al,%al
  call port8
  mov $3,%al
  call port8
  mov $14,%bx            # the second queue is what the first port prints
  mov $1,%ax
  call port16
  mov $8,%bx
  mov $ring>>8,%eax
  mov base,%dx
  add %bx,%dx
  out %eax,%dx
  mov $18,%bx
  mov $7,%al
  call port8
give:
  cli
  mov %es:0x1002,%ax     # all that it has read is given again
  add $128,%ax
  cmp %es:0x802,%ax
  je rest
  mov %ax,%es:0x802
  mov $16,%bx
  mov $1,%ax
  call port16
  jmp give
rest:
  sti
  hlt
  jmp give
heard:
  push %ax
  push %dx
  mov base,%dx
  add $19,%dx
  in %dx,%al
  mov $0x20,%al
  out %al,$0xa0
  out %al,$0x20
  pop %dx
  pop %ax
  iret
serial:
  mov $0x3fd,%dx
4: in %dx,%al
  test $0x20,%al
  jz 4b
  mov $0x3f8,%dx
  mov $'U',%al
  out %al,%dx
  jmp serial
config:
  mov $0xcf8,%dx
  out %eax,%dx
  mov $0xfc,%dl
  in %dx,%eax
  ret
port8:
  mov base,%dx
  add %bx,%dx
  out %al,%dx
  ret
port16:
  mov base,%dx
  add %bx,%dx
  out %ax,%dx
  ret
base: .word 0
.org 510
.word 0xaa55
