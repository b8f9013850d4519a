/* First code of application processors, copied to the page the startup IPI names: real mode to long mode. */
#include "layout.h"
#define PAGE 0x8C000

    .data
    .globl ap_start, ap_end
    .code16
ap_start:
    cli
    lgdtl %cs:(ap_gdtr - ap_start)
    movl %cr0, %eax
    andl $~0x6000000C, %eax
    orl $0x23, %eax
    movl %eax, %cr0
    ljmpl $KCODE32, $PAGE + (1f - ap_start)
    .code32
1:  movw $KDATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x620, %eax
    movl %eax, %cr4
    movl $TABLES, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x901, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010000, %eax
    movl %eax, %cr0
    ljmpl $KCODE64, $PAGE + (1f - ap_start)
    .code64
1:  movl $1, %edi
    lock xaddl %edi, ap_next
    movl %edi, %eax
    shll $12, %eax
    leaq AP_STACKS(%rax), %rsp
    movl $ap_main, %eax
    call *%rax
2:  cli
    hlt
    jmp 2b
    .balign 4
ap_gdtr:
    .word GDT_ENTRIES * 8 - 1
    .long gdt
ap_end:
    .balign 4
    .globl ap_next
ap_next:
    .long 1
