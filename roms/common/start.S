/* First code of the program, mode switches, exception entry and the two-way return of TRY. */
#include "layout.h"

    .text
    .code32
    .globl _start
_start:
    movl $STACK_TOP, %esp
    lgdt gdtr
    ljmp $KCODE32, $1f
1:  movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    xorl %eax, %eax
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    rep stosb
    call main32
    cli
    call identity_map
    movl %cr4, %eax
    orl $0x620, %eax                /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $TABLES, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x901, %eax                /* LME, NXE, SCE */
    wrmsr
    movl %cr0, %eax
    andl $~0x6000000C, %eax         /* CD, NW, EM, TS */
    orl $0x80010022, %eax           /* PG, WP, NE, MP */
    movl %eax, %cr0
    ljmp $KCODE64, $1f
    .code64
1:  movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $STACK_TOP, %esp
    call main64
2:  cli
    hlt
    jmp 2b

/* Identity map of 4 GiB in 2 MiB pages: PML4, PDPT and four directories at TABLES. */
    .code32
identity_map:
    movl $TABLES, %edi
    movl $6 * 1024, %ecx
    xorl %eax, %eax
    rep stosl
    movl $TABLES + 0x1003, TABLES
    movl $TABLES + 0x2003, %eax
    xorl %ecx, %ecx
1:  movl %eax, TABLES + 0x1000(,%ecx,8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 1b
    movl $0x83, %eax
    xorl %ecx, %ecx
2:  movl %eax, TABLES + 0x2000(,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 2b
    ret
    .weak main32
main32:
    ret

/* int trap_arm32(void): 0 now, 1 again when an exception comes. */
    .globl trap_arm32, trap_arm64, trap_arm16, resume32, resume64
trap_arm32:
    popl %ecx
    movl %ecx, resume + R_IP
    movl %esp, resume + R_SP
    movl %ebp, resume + R_BP
    movl %ebx, resume + R_BX
    movl %esi, resume + R_SI
    movl %edi, resume + R_DI
    movw %cs, resume + R_CS
    movw %ss, resume + R_SS
    movl $1, resume + R_ARMED
    xorl %eax, %eax
    jmp *%ecx
resume32:
    movw $KDATA, %ax
    movw %ax, %ds
    movw resume + R_SS, %ax
    movl resume + R_SP, %esp
    movw %ax, %ss
    movl resume + R_BP, %ebp
    movl resume + R_BX, %ebx
    movl resume + R_SI, %esi
    movl resume + R_DI, %edi
    pushl $2
    pushl resume + R_CS
    pushl resume + R_IP
    movw %ax, %ds
    movw %ax, %es
    movl $1, %eax
    iretl

/* Exception stubs for 32-bit mode, 16 bytes each: struct frame32. */
    .balign 16
    .globl stubs32, stubs64, stubs16
stubs32:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
    .else
    pushl $0
    .endif
    pushl $vector
    jmp common32
    .set vector, vector + 1
    .endr
common32:
    pushal
    pushl %ds
    pushl %es
    cld
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    pushl %esp
    call *trap32_entry
    addl $4, %esp
    popl %es
    popl %ds
    popal
    addl $8, %esp
    iretl

/* Real mode and v86: interrupts record themselves, then return or resume. */
    .code16
    .balign 8
stubs16:
    .set vector, 0
    .rept 256
    .balign 8
    pushw $vector
    jmp common16
    .set vector, vector + 1
    .endr
common16:
    pushl %eax
    pushw %ds
    xorw %ax, %ax
    movw %ax, %ds
    incl trap + T_COUNT
    cmpl $0, resume + R_ARMED
    je 1f
    movl $0, resume + R_ARMED
    addw $6, %sp
    popw trap + T_VECTOR
    popw trap + T_IP
    movw %ax, %es
    movw %ax, %ss
    movl resume + R_SP, %esp
    movl resume + R_BP, %ebp
    movl resume + R_BX, %ebx
    movl resume + R_SI, %esi
    movl resume + R_DI, %edi
    pushl $2
    popfl
    movl $1, %eax
    jmpl *resume + R_IP
1:  popw %ds
    popl %eax
    addw $2, %sp
    iretw
trap_arm16:
    popl %ecx
    movl %ecx, resume + R_IP
    movl %esp, resume + R_SP
    movl %ebp, resume + R_BP
    movl %ebx, resume + R_BX
    movl %esi, resume + R_SI
    movl %edi, resume + R_DI
    movw %cs, resume + R_CS
    movw %ss, resume + R_SS
    movl $1, resume + R_ARMED
    xorl %eax, %eax
    jmpl *%ecx

    .code64
trap_arm64:
    popq %rcx
    movq %rcx, resume + R_IP
    movq %rsp, resume + R_SP
    movq %rbp, resume + R_BP
    movq %rbx, resume + R_BX
    movq %r12, resume + R_12
    movq %r13, resume + R_13
    movq %r14, resume + R_14
    movq %r15, resume + R_15
    movw %cs, resume + R_CS
    movw %ss, resume + R_SS
    movl $1, resume + R_ARMED
    xorl %eax, %eax
    jmp *%rcx
resume64:
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movq resume + R_BP, %rbp
    movq resume + R_BX, %rbx
    movq resume + R_SI, %rsi
    movq resume + R_DI, %rdi
    movq resume + R_12, %r12
    movq resume + R_13, %r13
    movq resume + R_14, %r14
    movq resume + R_15, %r15
    pushq resume + R_SS
    pushq resume + R_SP
    pushq $2
    pushq resume + R_CS
    pushq resume + R_IP
    movl $1, %eax
    iretq
    .balign 16
stubs64:
    .set vector, 0
    .rept 256
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp common64
    .set vector, vector + 1
    .endr
common64:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call *trap64_entry
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .data16, "aw"
    .balign 16
    .globl gdt, gdtr, idtr_real
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF
    .quad 0x00AFFB000000FFFF, 0x00CFF3000000FFFF, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
    .quad 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF, 0x00CFF3000000FFFF
    .quad 0x00009B000000FFFF, 0x000093000000FFFF
    .fill GDT_ENTRIES - 15, 8, 0
gdtr:
    .word GDT_ENTRIES * 8 - 1
    .quad gdt
    .balign 4
idtr_real:
    .word 0x3FF
    .quad 0
