/* Numbers shared by assembly and C: selectors, fixed addresses, offsets in the shared structures. */
#ifndef LAYOUT_H
#define LAYOUT_H

/* GDT. The order serves SYSENTER/SYSEXIT (SDM vol. 2B) from 0x08 and 0x38, and SYSCALL/SYSRET with STAR 0x38, 0x48. */
#define KCODE32 0x08
#define KDATA   0x10
#define UCODE32 0x1B
#define UDATA   0x23
#define KCODE64 0x38
#define UCODE64 0x5B
#define CODE16  0x68
#define DATA16  0x70
#define TSS_SEL 0x78
#define TSS2    0x88
#define TEST0   0x90
#define GDT_ENTRIES 48

/* Below 1 MiB: vectors, real-mode stack, program, then these. */
#define STACK16_TOP 0x1000
#define PROGRAM     0x1000
#define STACK_TOP   0x70000
#define INT_STACK   0x74000
#define IST_STACK   0x76000
#define TABLES      0x78000
#define AP_STACKS   0x400000

/* struct resume: all slots 8 bytes. */
#define R_ARMED 0
#define R_IP 8
#define R_SP 16
#define R_BP 24
#define R_BX 32
#define R_SI 40
#define R_DI 48
#define R_12 56
#define R_13 64
#define R_14 72
#define R_15 80
#define R_CS 88
#define R_SS 96
/* struct trap */
#define T_VECTOR 0
#define T_ERROR 8
#define T_IP 16
#define T_COUNT 48

#endif
