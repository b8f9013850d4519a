/* Ways into real mode and virtual-8086 mode, and back. */
#include "layout.h"

    .text
    .code32
    .globl run_real, run_v86, v86_leave
/* void run_real(void (*checks16)(void)) */
run_real:
    movl 4(%esp), %eax
    pushal
    movl %esp, saved_esp
    movl %eax, target16
    lidt idtr_real
    ljmp $CODE16, $real_entry

/* void run_v86(u32 ip, u32 flags): returns when v86 code faults. */
run_v86:
    movl 4(%esp), %eax
    movl 8(%esp), %edx
    pushal
    movl %esp, saved_esp
    pushl $0                        /* GS, FS, DS, ES, SS */
    pushl $0
    pushl $0
    pushl $0
    pushl $0
    pushl $STACK16_TOP
    pushl %edx
    pushl $0
    pushl %eax
    iretl
v86_leave:
real_back:
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl saved_esp, %esp
    popal
    ret

    .section .text16, "ax"
    .code16
real_entry:
    movw $DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr0, %eax
    andb $0xFE, %al
    movl %eax, %cr0
    ljmp $0, $1f
1:  xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $STACK16_TOP, %esp
    calll *target16
    cli
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $KCODE32, $real_back
    .globl v86_entry, v86_out
v86_entry:
    calll *target16
    int $0x7F
v86_out:
    outb %al, $0xE4
    int $0x7F

    .section .data16, "aw"
    .balign 4
    .globl target16
saved_esp:
    .long 0
target16:
    .long 0
