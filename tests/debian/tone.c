/* Plays a tone of HERTZ for MILLISECONDS: by the sound card (`tone card HERTZ MS`), through the kernel's own interface, or by
   the PC speaker (`tone speaker HERTZ MS`). */
#include <fcntl.h>
#include <math.h>
#include <sound/asound.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { RATE = 48000, PERIOD = 1024, BUFFER = 4096 };

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

/* Every switch on, every volume at its most. */
static void turn_up(void) {
    int control = open("/dev/snd/controlC0", O_RDWR);
    check(control, "controlC0");
    struct snd_ctl_elem_id ids[64];
    struct snd_ctl_elem_list list = {.space = 64, .pids = ids};
    check(ioctl(control, SNDRV_CTL_IOCTL_ELEM_LIST, &list), "list");
    for (unsigned n = 0; n < list.used; n++) {
        struct snd_ctl_elem_info info = {.id = ids[n]};
        struct snd_ctl_elem_value value = {.id = ids[n]};
        if (ioctl(control, SNDRV_CTL_IOCTL_ELEM_INFO, &info) < 0 || !(info.access & SNDRV_CTL_ELEM_ACCESS_WRITE)) continue;
        int is_switch = info.type == SNDRV_CTL_ELEM_TYPE_BOOLEAN;
        if (!is_switch && info.type != SNDRV_CTL_ELEM_TYPE_INTEGER) continue;
        for (unsigned side = 0; side < info.count; side++)
            value.value.integer.value[side] = is_switch ? 1 : info.value.integer.max;
        ioctl(control, SNDRV_CTL_IOCTL_ELEM_WRITE, &value);
        printf("%s\n", ids[n].name);
    }
    close(control);
}

static void interval(struct snd_pcm_hw_params *params, int which, unsigned value) {
    struct snd_interval *own = &params->intervals[which - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
    own->min = own->max = value;
    own->integer = 1;
}

static void mask(struct snd_pcm_hw_params *params, int which, unsigned bit) {
    struct snd_mask *own = &params->masks[which - SNDRV_PCM_HW_PARAM_FIRST_MASK];
    memset(own, 0, sizeof *own);
    own->bits[bit / 32] = 1u << bit % 32;
}

static int open_card(void) {
    int card = open("/dev/snd/pcmC0D0p", O_RDWR);
    check(card, "pcmC0D0p");
    struct snd_pcm_hw_params params;
    memset(&params, 0xff, sizeof params);
    params.flags = 0;
    for (int n = 0; n <= SNDRV_PCM_HW_PARAM_LAST_INTERVAL - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL; n++)
        params.intervals[n] = (struct snd_interval){.min = 0, .max = ~0u};
    mask(&params, SNDRV_PCM_HW_PARAM_ACCESS, (unsigned)SNDRV_PCM_ACCESS_RW_INTERLEAVED);
    mask(&params, SNDRV_PCM_HW_PARAM_FORMAT, (unsigned)SNDRV_PCM_FORMAT_S16_LE);
    interval(&params, SNDRV_PCM_HW_PARAM_CHANNELS, 2);
    interval(&params, SNDRV_PCM_HW_PARAM_RATE, RATE);
    interval(&params, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, PERIOD);
    interval(&params, SNDRV_PCM_HW_PARAM_BUFFER_SIZE, BUFFER);
    check(ioctl(card, SNDRV_PCM_IOCTL_HW_PARAMS, &params), "hw_params");
    check(ioctl(card, SNDRV_PCM_IOCTL_PREPARE), "prepare");
    return card;
}

static void card(double hertz, unsigned milliseconds) {
    turn_up();
    int card = open_card();
    static int16_t frames[PERIOD][2];
    unsigned total = RATE / 1000 * milliseconds;
    for (unsigned done = 0; done < total; done += PERIOD) {
        for (unsigned n = 0; n < PERIOD; n++) {
            double at = (double)(done + n) / RATE;
            frames[n][0] = frames[n][1] = done + n < total ? 20000 * sin(2 * M_PI * hertz * at) : 0;
        }
        struct snd_xferi transfer = {.buf = frames, .frames = PERIOD};
        check(ioctl(card, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &transfer), "write");
    }
    check(ioctl(card, SNDRV_PCM_IOCTL_DRAIN), "drain");
    close(card);
}

static void speaker(double hertz, unsigned milliseconds) {
    check(iopl(3), "iopl");
    unsigned count = 1193182 / hertz + 0.5;
    outb(0xb6, 0x43);
    outb(count & 0xff, 0x42);
    outb(count >> 8, 0x42);
    outb(inb(0x61) | 3, 0x61);
    usleep(milliseconds * 1000);
    outb(inb(0x61) & ~3, 0x61);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    double hertz = atof(argv[2]);
    unsigned milliseconds = atoi(argv[3]);
    if (strcmp(argv[1], "card") == 0) card(hertz, milliseconds);
    else speaker(hertz, milliseconds);
    return 0;
}
