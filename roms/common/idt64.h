/* Interrupt descriptor table and dispatch in 64-bit mode. */
#ifndef IDT64_H
#define IDT64_H
#include "check.h"

struct frame64 {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
struct gate64 { u16 offset0, selector; u8 ist, type; u16 offset1; u32 offset2, zero; };
struct __attribute__((packed)) tss64 { u32 zero; u64 rsp[3], zero1, ist[7], zero2; u16 zero3, io_map; };

extern char stubs64[];
extern u64 trap64_entry, gdt[];
void resume64(void) __attribute__((noreturn));

extern struct gate64 idt64[256];
extern void (*volatile on_vector[256])(struct frame64 *);

/* Points `vector` at `entry`: type 8Eh is an interrupt gate, EEh one that ring 3 may use. */
void set_gate64(u8 vector, void *entry, u8 type, u8 ist);
void load_idt64(void);
/* Builds the table, a TSS with an IST stack, and loads both. */
void idt64_init(void);

#endif
