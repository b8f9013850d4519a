/* What units built for different modes share. Lies below 64 KiB. */
#include "check.h"

volatile struct resume resume;
volatile struct trap trap;
u32 checks, failures, skips;
char mode[16];
u64 fault_ip;
u8 tcg_lacks, crlf, quiet;
/* Called by the exception stubs. */
u64 trap32_entry, trap64_entry;
