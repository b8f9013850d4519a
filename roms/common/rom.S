/* The image as the CPU sees it at reset: the program, and at the end the code that copies it to RAM. */
#include "layout.h"
#define START (ROM_SIZE - 0x100)

    .text
    .code16
rom:
    .incbin PROGRAM_FILE
program_end:
    .org START, 0xFF
start:
    cli
    cld
    /* CS is F000 with base FFFF0000h until the first far jump (SDM vol. 3A, 10.1.4). */
    lgdtl %cs:(gdtr - rom) & 0xFFFF
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $(0x100000000 - ROM_SIZE) + (flat - rom)
    .code32
flat:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x100000000 - ROM_SIZE, %esi
    movl $PROGRAM, %edi
    movl $(program_end - rom + 3) / 4, %ecx
    rep movsl
    movl $PROGRAM, %eax
    jmp *%eax
    .balign 8
gdt:
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdtr:
    .word 23
    .long (0x100000000 - ROM_SIZE) + (gdt - rom)
    .org ROM_SIZE - 16, 0xFF
    .code16
    jmp start
    .org ROM_SIZE, 0
