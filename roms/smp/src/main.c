/* Application processors: INIT-SIPI-SIPI, locked counters, IPIs between them, one TSC for all. */
#include "chipset.h"
#include "idt64.h"

#define MAX_CPUS 64
#define AP_PAGE 0x8C000u
#define ROUNDS 2000

extern u8 ap_start[], ap_end[];
void ap_main(u64 index);

/* What the boot processor asks the others to do; they answer by raising `done`. */
enum phase { IDLE, XADD, CMPXCHG, SPINLOCK, TSC, MWAIT, PING, PARK };
static volatile u32 phase, generation, done, alive, asked;
static volatile u32 apic_ids[MAX_CPUS];
static volatile u64 xadd_sum, cmpxchg_sum, locked_sum, last_tsc;
static volatile u32 lock, tsc_warps;
static volatile u32 ping_turn, ipis[MAX_CPUS];
static u32 cpus;

#define TURNS 50
/* The line that is monitored; what lies beside it in its page is stored to all the time. */
static volatile struct { u32 turn, unused[15]; } __attribute__((aligned(64))) watched;
static volatile u32 beside;

static void acquire(void)
{
    u32 taken = 1;
    for (;;) {
        asm volatile("xchgl %0, %1" : "+r"(taken), "+m"(lock) : : "memory");
        if (!taken)
            return;
        while (lock)
            asm volatile("pause");
        taken = 1;
    }
}

static void release(void)
{
    asm volatile("" : : : "memory");
    lock = 0;
}

static void add(volatile u32 *counter)
{
    asm volatile("lock incl %0" : "+m"(*counter) : : "memory");
}

static void work_xadd(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        u64 one = 1;
        asm volatile("lock xaddq %0, %1" : "+r"(one), "+m"(xadd_sum) : : "memory");
    }
}

static void work_cmpxchg(void)
{
    for (int i = 0; i < ROUNDS;) {
        u64 old = cmpxchg_sum, seen = old;
        asm volatile("lock cmpxchgq %2, %1" : "+a"(seen), "+m"(cmpxchg_sum) : "r"(old + 1) : "memory");
        i += seen == old;
        if (seen != old)
            asm volatile("pause");
    }
}

static void work_spinlock(void)
{
    for (int i = 0; i < ROUNDS / 4; i++) {
        acquire();
        locked_sum = locked_sum + 1;
        release();
    }
}

/* Under the lock, time read by any processor is never before what another one read. */
static void work_tsc(void)
{
    for (int i = 0; i < ROUNDS / 4; i++) {
        acquire();
        u64 now = rdtsc();
        if (now < last_tsc)
            tsc_warps++;
        last_tsc = now;
        release();
    }
}

static u32 own_index(void)
{
    u32 id = lapic_read(LAPIC_ID) >> 24;
    for (u32 i = 0; i < MAX_CPUS; i++)
        if (apic_ids[i] == id)
            return i;
    return 0;
}

/* Everyone waits in MWAIT for its turn, which the one before gives it. */
static void work_mwait(void)
{
    u32 index = own_index();
    for (u32 round = 0; round < TURNS; round++) {
        u32 mine = round * cpus + index;
        for (;;) {
            asm volatile("monitor" : : "a"(&watched), "c"(0), "d"(0) : "memory");
            if (watched.turn == mine)
                break;
            asm volatile("mwait" : : "a"(0), "c"(0) : "memory");
        }
        for (int i = 0; i < 10; i++)
            beside++;
        watched.turn = mine + 1;
    }
}

static void work(u32 what)
{
    switch (what) {
    case XADD: work_xadd(); break;
    case CMPXCHG: work_cmpxchg(); break;
    case SPINLOCK: work_spinlock(); break;
    case TSC: work_tsc(); break;
    case MWAIT: work_mwait(); break;
    }
}

static void send_ipi(u32 index, u32 low)
{
    lapic_write(LAPIC_ICR_HIGH, apic_ids[index] << 24);
    lapic_write(LAPIC_ICR_LOW, low);
    while (lapic_read(LAPIC_ICR_LOW) & 0x1000)
        asm volatile("pause");
}

/* The ball goes from processor to processor, by interrupt. */
static void on_ping(struct frame64 *frame)
{
    u32 index = own_index();
    (void)frame;
    ipis[index]++;
    eoi();
    ping_turn++;
    if (ping_turn < asked)
        send_ipi((index + 1) % cpus, 0x70);
}

static void on_call(struct frame64 *frame)
{
    (void)frame;
    add(&done);
    eoi();
}

void ap_main(u64 index)
{
    load_idt64();
    lapic_enable();
    apic_ids[index] = lapic_read(LAPIC_ID) >> 24;
    add(&alive);
    asm volatile("sti");
    for (u32 seen = 0;;) {
        while (generation == seen)
            asm volatile("pause");
        seen = generation;
        if (phase == PARK)
            for (;;)
                asm volatile("sti; hlt");
        work(phase);
        add(&done);
    }
}

/* Lets every processor do `what`, this one too; false when some never answer. */
static int all_do(u32 what)
{
    done = 0;
    phase = what;
    generation++;
    work(what);
    for (u32 ms = 0; done < cpus - 1 && ms < 5000; ms++)
        delay_us(1000);
    return done == cpus - 1;
}

static void start_all(void)
{
    for (u32 i = 0; i < (u32)(ap_end - ap_start); i++)
        ((volatile u8 *)(u64)AP_PAGE)[i] = ap_start[i];
    lapic_enable();
    apic_ids[0] = lapic_read(LAPIC_ID) >> 24;
    for (u32 i = 1; i < MAX_CPUS; i++)
        apic_ids[i] = 0xFFFF;
    lapic_write(LAPIC_ICR_HIGH, 0);
    lapic_write(LAPIC_ICR_LOW, 0xC4500);
    delay_us(10000);
    lapic_write(LAPIC_ICR_LOW, 0xC4600 | AP_PAGE >> 12);
    delay_us(200);
    lapic_write(LAPIC_ICR_LOW, 0xC4600 | AP_PAGE >> 12);
    for (u32 ms = 0; alive < cpus - 1 && ms < 2000; ms++)
        delay_us(1000);
    check("all application processors run", alive, cpus - 1);
    delay_us(5000);
    check("each started once", alive, cpus - 1);
    u64 seen = 0, twice = 0;
    for (u32 i = 0; i < cpus; i++) {
        twice |= seen & 1ull << (apic_ids[i] & 63);
        seen |= 1ull << (apic_ids[i] & 63);
    }
    check("APIC identifiers differ", twice, 0);
}

static void check_ipis(void)
{
    asked = 50 * cpus;
    phase = PARK;
    generation++;
    delay_us(2000);
    asm volatile("sti");
    send_ipi(cpus > 1, 0x70);
    for (u32 ms = 0; ping_turn < asked && ms < 5000; ms++)
        delay_us(1000);
    check("IPIs go round", ping_turn, asked);
    u32 least = ipis[0], most = ipis[0];
    for (u32 i = 0; i < cpus; i++) {
        least = ipis[i] < least ? ipis[i] : least;
        most = ipis[i] > most ? ipis[i] : most;
    }
    check("everyone got a share", least == most, 1);
    done = 0;
    lapic_write(LAPIC_ICR_LOW, 0xC0071);
    for (u32 ms = 0; done < cpus - 1 && ms < 1000; ms++)
        delay_us(1000);
    check("all but self", done, cpus - 1);
    done = 0;
    lapic_write(LAPIC_ICR_LOW, 0x80071);
    for (u32 ms = 0; done < cpus && ms < 1000; ms++)
        delay_us(1000);
    check("all including self", done, cpus);
    asm volatile("cli");
}

void main64(void)
{
    uart_init();
    print("Amber smp\n");
    idt64_init();
    chipset_init();
    on_vector[0x70] = on_ping;
    on_vector[0x71] = on_call;
    cpus = cpu_count();
    print("vCPUs: ");
    print_dec(cpus);
    print("\n");
    if (cpus > MAX_CPUS)
        cpus = MAX_CPUS;
    start_all();
    check("xadd phase ends", all_do(XADD), 1);
    check("xadd loses nothing", xadd_sum, (u64)ROUNDS * cpus);
    check("cmpxchg phase ends", all_do(CMPXCHG), 1);
    check("cmpxchg loses nothing", cmpxchg_sum, (u64)ROUNDS * cpus);
    check("spinlock phase ends", all_do(SPINLOCK), 1);
    check("the lock excludes", locked_sum, (u64)ROUNDS / 4 * cpus);
    check("TSC phase ends", all_do(TSC), 1);
    check("the TSC never warps", tsc_warps, 0);
    u32 id[4];
    cpuid(1, 0, id);
    if (id[2] & 8) {
        check("MWAIT phase ends", all_do(MWAIT), 1);
        check("everyone had its turns", watched.turn, TURNS * cpus);
    } else {
        skip("MWAIT", "CPUID says there is none");
    }
    check_ipis();
    finish();
}
