/* Ways into the modes and back. */
#include "layout.h"

    .text
    .code32
    .globl run_real, run_unreal, run_pm16, run_v86, v86_leave
/* void run_real(void (*checks16)(void)) */
run_real:
    movl 4(%esp), %eax
    movl $DATA16, %edx
    jmp 1f
/* The same, FS keeping a flat 4 GiB segment. */
run_unreal:
    movl 4(%esp), %eax
    movl $KDATA, %edx
1:  pushal
    movl %esp, saved_esp
    movl %eax, target16
    lidt idtr_real
    ljmp $CODE16, $real_entry
real_back:
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl saved_esp, %esp
    popal
    ret

/* void run_pm16(void (*checks16)(void)) */
run_pm16:
    movl 4(%esp), %eax
    pushal
    movl %esp, saved_esp
    movl %eax, target16
    ljmp $CODE16, $pm16_entry

/* void run_v86(u32 ip, u32 flags): returns when v86 code executes INT 7Fh or, if not reflected, faults. */
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
    movl $KDATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl saved_esp, %esp
    popal
    ret

/* void enter_user32(u32 eip): ring 3 with flat segments; ends in a trap. */
    .globl enter_user32
enter_user32:
    movl 4(%esp), %ecx
    movl $UDATA, %eax
    pushl %eax
    pushl $0x7F000
    pushl $2
    pushl $UCODE32
    pushl %ecx
    movl %eax, %ds
    movl %eax, %es
    iretl

/* Ring 3 snippets. */
    .globl u_cli, u_hlt, u_cr0, u_lgdt, u_in, u_int40, u_int80, u_callgate, u_kdata, u_sysenter, u_rdmsr
u_cli:
    cli
u_hlt:
    hlt
u_cr0:
    movl %cr0, %eax
u_lgdt:
    lgdt gdtr
u_in:
    inb $0x80, %al
    int $0x80
u_int40:
    int $0x40
u_int80:
    int $0x80
u_kdata:
    movl $KDATA, %eax
    movl %eax, %ds
u_rdmsr:
    rdmsr
/* Calls ring 0 with two parameters through the gate at TEST0 + 0x40. */
u_callgate:
    pushl $0x1111
    pushl $0x2222
    movl %esp, gate_record + 16
    lcall $TEST0 + 0x40 + 3, $0
    movl %esp, gate_record + 20
    int $0x80
    .globl gate_target, gate_record
gate_target:
    movw %cs, gate_record
    movw %ss, gate_record + 2
    movl 8(%esp), %eax              /* parameters behind EIP and CS */
    movl %eax, gate_record + 4
    movl 12(%esp), %eax
    movl %eax, gate_record + 8
    movl 16(%esp), %eax             /* the caller's ESP */
    movl %eax, gate_record + 12
    lret $8
u_sysenter:
    movl %esp, %ecx
    movl $1f, %edx
    sysenter
1:  movl %esp, gate_record + 8
    movw %cs, gate_record + 4
    int $0x80
    .globl sysenter_target
sysenter_target:
    movw %cs, gate_record
    movw %ss, gate_record + 2
    movl %esp, gate_record + 12
    sysexit

/* A task: records where it came from, and goes back. */
    .globl task_entry
task_entry:
    pushfl
    popl gate_record
    incl gate_record + 4
    iretl
    jmp task_entry

/* Exception entries that leave at once: double fault in a task, and an interrupt that looks at IF. */
    .globl flags_entry
flags_entry:
    pushfl
    popl gate_record
    iretl

/* Compatibility mode: 64-bit code calls 32-bit code and comes back. */
    .code64
    .globl run_compat, enter_user64
run_compat:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, saved_rsp
    pushq $KCODE32
    pushq $1f
    lretq
    .code32
1:  movl $KDATA, %eax
    movl %eax, %ss
    call *%edi
    ljmp $KCODE64, $2f
    .code64
2:  movq saved_rsp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
/* void enter_user64(u64 rip, u64 flags) */
enter_user64:
    pushq $0x53
    pushq $0x40000FF0
    pushq %rsi
    pushq $UCODE64
    pushq %rdi
    iretq

/* Ring 3 snippets, copied to a user page; they end in INT 80h. */
    .globl us_start, us_end, us_int80, us_hlt, us_syscall, us_sysenter, us_kernel, us_noncanonical, us_nx, us_align, us_swapgs
us_start:
us_int80:
    int $0x80
us_hlt:
    hlt
us_swapgs:
    swapgs
us_kernel:
    movl 0x2000, %eax
us_noncanonical:
    movq $1, %rax
    shlq $47, %rax
    movl (%rax), %eax
us_nx:
    movl $0x40001000, %eax
    jmp *%rax
us_align:
    movl -7(%rsp), %eax
    int $0x80
us_syscall:
    movl $0x5555, %ebx
    syscall
us_after_syscall:
    int $0x80
us_sysenter:
    movq %rsp, %rcx
    leaq 1f(%rip), %rdx
    sysenter
1:  int $0x80
us_end:
    .globl us_after_syscall, syscall_target, sysenter64_target
syscall_target:
    movw %cs, gate_record
    movw %ss, gate_record + 2
    movl %ecx, gate_record + 4
    movl %r11d, gate_record + 8
    pushfq
    popq %rax
    movl %eax, gate_record + 12
    sysretq
sysenter64_target:
    movw %ss, gate_record + 2
    movl %esp, gate_record + 4
    sysexitq

    .section .text16, "ax"
    .code16
real_entry:
    movw $DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %dx, %fs
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
pm16_entry:
    movw $DATA16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $STACK16_TOP, %esp
    calll *target16
    ljmpl $KCODE32, $real_back
    .globl v86_entry, v86_cli, v86_sti, v86_pushf, v86_popf, v86_int, v86_iret, v86_cr0, v86_out
v86_entry:
    calll *target16
    int $0x7F
v86_cli:
    cli
    int $0x7F
v86_sti:
    sti
    int $0x7F
v86_pushf:
    pushf
    int $0x7F
v86_popf:
    popf
    int $0x7F
v86_int:
    int $0x20
    int $0x7F
v86_iret:
    iret
v86_cr0:
    movl %cr0, %eax
    int $0x7F
v86_out:
    outb %al, $0x80
    int $0x7F

    .section .data16, "aw"
    .balign 4
    .globl target16
saved_esp:
    .long 0
target16:
    .long 0
saved_rsp:
    .quad 0
gate_record:
    .fill 8, 4, 0
