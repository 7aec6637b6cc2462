/* Trouble, and what it feels like, for machines that guards are compared on.
 *
 *   load leak RATE MOST LOW SLOW [touch]   take RATE MB/s of memory that does not compress, up to
 *                                          MOST MB, or SLOW MB/s once less than LOW MB is
 *                                          available; "touch": keep using all of it at random
 *   load read FILE MB                      read the first MB of a file at random, for ever
 *   load fork MB EVERY_MS                  bear a child that holds MB every so often, for ever
 *   load fill FILE RATE                    write RATE MB/s into a file, until it is full
 *   load wake OUT                          every 50 ms use 4 MB: how late is it done?
 *   load run OUT COMMAND...                every second run a command: how long does it take?
 *   load look OUT CGROUP SECONDS           ten times a second, never swapped: what is left, and
 *                                          is anybody in CGROUP? After SECONDS kill them
 *
 * Results are kept in memory until SIGTERM. Times are of CLOCK_BOOTTIME, in seconds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MB = 1 << 20, PAGE = 4096, MOST = 20000 };
extern char **environ;
static volatile sig_atomic_t over;
static char *held;
static volatile size_t taken;

static void finish(int number) { (void)number; over = 1; }

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void until(double moment) {
    struct timespec at = {(time_t)moment, (long)((moment - (time_t)moment) * 1e9)};
    while (!over && clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &at, NULL)) {}
}

static uint64_t chance(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static char *contents(int fd, char *buffer, size_t size) {
    ssize_t count = pread(fd, buffer, size - 1, 0);
    buffer[count > 0 ? count : 0] = 0;
    return buffer;
}

static long after(const char *text, const char *key) {
    const char *found = text ? strstr(text, key) : NULL;
    return found ? atol(found + strlen(key)) : -1;
}

static _Noreturn void *touch(void *unused) {
    uint64_t state = 0x1234567;
    (void)unused;
    for (;;) {
        size_t pages = taken / PAGE;
        if (!pages) { usleep(10000); continue; }
        for (int each = 0; each < 256; each++) held[chance(&state) % pages * PAGE]++;
    }
}

static int leak(int count, char **words) {
    double rate = atof(words[0]), slow = atof(words[3]);
    size_t most = (size_t)atol(words[1]) * MB;
    long low_kb = atol(words[2]) * 1024;
    uint64_t state = 88172645463325252ULL;
    char text[4096];
    int meminfo = open("/proc/meminfo", O_RDONLY);
    held = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (held == MAP_FAILED || meminfo < 0) return 1;
    madvise(held, most, MADV_NOHUGEPAGE);
    pthread_t thread;
    if (count > 4) pthread_create(&thread, NULL, touch, NULL);
    while (taken < most) {
        double begun = seconds();
        for (size_t at = taken; at < taken + MB; at += 64) *(uint64_t *)(held + at) = chance(&state);
        taken += MB;
        if (after(contents(meminfo, text, sizeof text), "MemAvailable:") < low_kb) rate = slow;
        until(begun + 1 / rate);
    }
    for (;;) pause();
}

static int reading(char **words) {
    size_t size = (size_t)atol(words[1]) * MB;
    uint64_t state = (uint64_t)getpid() << 20 | 1;
    volatile char sum = 0;
    int fd = open(words[0], O_RDONLY);
    char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || map == MAP_FAILED) return 1;
    madvise(map, size, MADV_RANDOM);
    for (;;) {
        for (int each = 0; each < 64; each++) sum += map[chance(&state) % (size / PAGE) * PAGE];
        usleep(200);
    }
}

static _Noreturn int forking(char **words) {
    size_t size = (size_t)atol(words[0]) * MB;
    useconds_t pause_us = (useconds_t)atol(words[1]) * 1000;
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        if (fork() == 0) {
            char *memory = malloc(size);
            uint64_t state = (uint64_t)getpid() << 20 | 1;
            for (size_t at = 0; memory && at < size; at += 64) *(uint64_t *)(memory + at) = chance(&state);
            for (;;) pause();
        }
        usleep(pause_us);
    }
}

static _Noreturn int filling(char **words) {
    static uint64_t block[MB / 8];
    uint64_t state = 77;
    int fd = open(words[0], O_WRONLY | O_CREAT, 0600);
    double rate = atof(words[1]);
    for (;;) {
        double begun = seconds();
        for (size_t at = 0; at < MB / 8; at++) block[at] = chance(&state);
        if (write(fd, block, sizeof block) < (ssize_t)sizeof block) pause();
        until(begun + 1 / rate);
    }
}

static int stalls(char **words, int is_command) {
    static double planned[MOST], late[MOST];
    double step = is_command ? 1 : .05;
    int count = 0;
    char *memory = malloc(4 * MB);
    memset(memory, 1, 4 * MB);
    for (double next = seconds() + step; !over && count < MOST;) {
        until(next);
        if (over) break;
        pid_t child;
        int status;
        if (is_command) {
            if (!posix_spawnp(&child, words[1], NULL, NULL, words + 1, environ))
                while (waitpid(child, &status, 0) < 0 && !over) {}
        } else
            for (size_t at = 0; at < 4 * MB; at += PAGE) memory[at]++;
        planned[count] = next;
        late[count++] = seconds() - next;
        next = seconds() > next + step ? seconds() + step : next + step;
    }
    FILE *out = fopen(words[0], "w");
    for (int each = 0; out && each < count; each++) fprintf(out, "%.3f %.4f\n", planned[each], late[each]);
    return out ? fclose(out) : 1;
}

static int look(char **words) {
    static struct { double at; long available, swap, some, full, alive; } seen[MOST];
    char path[512], text[8192];
    double limit = atof(words[2]), since = 0;
    int count = 0, events = -1, killed = 0;
    int meminfo = open("/proc/meminfo", O_RDONLY), psi = open("/proc/pressure/memory", O_RDONLY);
    struct sched_param first = {.sched_priority = 10};
    memset(seen, 1, sizeof seen);
    sched_setscheduler(0, SCHED_FIFO, &first);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    for (double next = seconds(); !over && count < MOST; next += .1) {
        until(next);
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cgroup.events", words[1]);
        if (events < 0) events = open(path, O_RDONLY);
        seen[count].at = seconds();
        contents(meminfo, text, sizeof text);
        seen[count].available = after(text, "MemAvailable:");
        seen[count].swap = after(text, "SwapFree:");
        contents(psi, text, sizeof text);
        seen[count].some = after(text, "total=");
        seen[count].full = after(strstr(text, "full"), "total=");
        long alive = events < 0 ? 0 : after(contents(events, text, sizeof text), "populated ");
        seen[count].alive = alive > 0;
        if (alive > 0 && !since) since = seconds();
        if (alive > 0 && !killed && seconds() - since > limit) {
            snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cgroup.kill", words[1]);
            int fd = open(path, O_WRONLY);
            killed = fd >= 0 && write(fd, "1", 1) == 1;
        }
        count++;
    }
    FILE *out = fopen(words[0], "w");
    for (int each = 0; out && each < count; each++)
        fprintf(out, "%.3f %ld %ld %ld %ld %ld %d\n", seen[each].at, seen[each].available,
                seen[each].swap, seen[each].some, seen[each].full, seen[each].alive, killed);
    return out ? fclose(out) : 1;
}

int main(int count, char **words) {
    struct sigaction action = {.sa_handler = finish};
    const char *what = count > 1 ? words[1] : "";
    words += 2;
    count -= 2;
    if (!strcmp(what, "leak") && count >= 4) return leak(count, words);
    if (!strcmp(what, "read") && count == 2) return reading(words);
    if (!strcmp(what, "fork") && count == 2) return forking(words);
    if (!strcmp(what, "fill") && count == 2) return filling(words);
    sigaction(SIGTERM, &action, NULL);
    if (!strcmp(what, "wake") && count == 1) return stalls(words, 0);
    if (!strcmp(what, "run") && count >= 2) return stalls(words, 1);
    if (!strcmp(what, "look") && count == 3) return look(words);
    fprintf(stderr, "see load.c for what it does\n");
    return 2;
}
