/* The monitor's parts. */
#ifndef MONITOR_H
#define MONITOR_H
#include "types.h"

#define VECTOR_TIMER 0x32
#define VECTOR_SERIAL 0x34
#define TICK_HZ 20

/* console.c */
void console_init(void);
int console_get(void);
int read_line(char *line, int size);
void say(const char *text);
void say_hex(u64 value, int digits);
void say_dec(u64 value, int width);

/* show.c */
void banner(void);
void show_cpu(void);
void show_memory(void);
void show_pci(void);
void show_time(void);
void show_interrupts(void);

/* selftest.c */
int run_selftest(void);

/* Interrupts seen, by source; ticks since start. */
extern volatile u64 ticks, serial_interrupts;
extern u64 tsc_per_second;

#endif
