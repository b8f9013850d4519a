/* Does to the tray of a CD drive what people and udev do.
 * usage: media eject|close|lock|unlock DEVICE    exit code 0 if the kernel did it
 *        media obey DEVICE MOUNTPOINT            when the drive tells that somebody wants the medium: unmounts and ejects */
#include <errno.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static int act(const char *device, unsigned long request, unsigned long argument)
{
    int fd = open(device, O_RDONLY | O_NONBLOCK);
    int failed = fd < 0 || ioctl(fd, request, argument) < 0;
    if (failed)
        fprintf(stderr, "%s: %s\n", device, strerror(errno));
    if (fd >= 0)
        close(fd);
    return failed;
}

/* Whether a message of the kernel's says so: it is strings one after the other. */
static int says(const char *message, ssize_t len, const char *what)
{
    for (ssize_t at = 0; at < len; at += strlen(message + at) + 1)
        if (strcmp(message + at, what) == 0)
            return 1;
    return 0;
}

static int obey(const char *device, const char *mountpoint)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    char message[8192];
    int events = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
    if (events < 0 || bind(events, (struct sockaddr *)&address, sizeof address) < 0)
        return 1;
    for (;;) {
        ssize_t len = recv(events, message, sizeof message - 1, 0);
        if (len < 0)
            return 1;
        message[len] = 0;
        if (!says(message, len, "DISK_EJECT_REQUEST=1"))
            continue;
        umount(mountpoint);
        printf("ASKED: %s\n", act(device, CDROM_LOCKDOOR, 0) || act(device, CDROMEJECT, 0) ? "kept" : "ejected");
        fflush(stdout);
    }
}

int main(int count, char **words)
{
    if (count == 4 && strcmp(words[1], "obey") == 0)
        return obey(words[2], words[3]);
    if (count != 3)
        return 2;
    if (strcmp(words[1], "eject") == 0)
        return act(words[2], CDROMEJECT, 0);
    if (strcmp(words[1], "close") == 0)
        return act(words[2], CDROMCLOSETRAY, 0);
    return act(words[2], CDROM_LOCKDOOR, strcmp(words[1], "lock") == 0);
}
