/*
 * A link between two TAP devices: what enters one leaves the other after waiting for its turn at a given rate, in a queue of
 * so many bytes, and a delay; some of it is lost. For kernels without netem, and the same on all.
 *
 *   link TAP TAP        needs root; the devices are made here and may be moved into namespaces
 *
 * Standard input takes one line each time, standard output answers with one:
 *
 *   set DELAY_MS RATE_MBIT QUEUE_BYTES LOSS SEED    one way each; LOSS 0 to 1; begins to count anew       ok
 *   count      per direction: frames and bytes that left, frames that the queue dropped, frames lost     count F B D L F B D L
 *
 * The end of standard input ends it. A frame takes its time on the line even when it is lost behind it. Rates count frames with
 * their 14 bytes of Ethernet.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_BYTES 2048
/* A power of two: 100 Mbit/s for a second is 8 300 full frames, 130 000 of the smallest. */
#define RING_FRAMES (1u << 17)
/* Read from one device before the other has its turn. */
#define BURST 64

struct frame {
  int64_t due;
  int length; /* 0: lost */
  unsigned char bytes[FRAME_BYTES];
};

/* What happens to frames in one direction. Delay is constant, so that they leave in the order in which they came. */
struct direction {
  int from, to;
  struct frame *ring;
  uint32_t head, tail;
  int64_t busy_until;
  uint64_t random;
  uint64_t frames, bytes, dropped, lost;
};

static struct direction directions[2];
static int64_t delay_ns;
static double bytes_per_ns; /* 0: no limit */
static double queue_bytes;
static double loss;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* xorshift64*: uniform in 0 … 1. */
static double uniform(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (double)((*state * 0x2545f4914f6cdd1dull) >> 11) / 9007199254740992.0;
}

static int open_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (strlen(name) >= IFNAMSIZ) errno = ENAMETOOLONG;
  else if (fd >= 0) {
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
  }
  perror(name);
  exit(1);
}

static void enter(struct direction *line, struct frame *frame, int64_t now) {
  if (line->busy_until < now) line->busy_until = now;
  if (bytes_per_ns > 0) {
    double waiting = (double)(line->busy_until - now) * bytes_per_ns;
    if (waiting + frame->length > queue_bytes) {
      line->dropped++;
      return;
    }
    line->busy_until += (int64_t)(frame->length / bytes_per_ns);
  }
  frame->due = line->busy_until + delay_ns;
  if (uniform(&line->random) < loss) {
    line->lost++;
    frame->length = 0;
  }
  line->tail++;
}

/* Takes what waits in the device. */
static void take(struct direction *line) {
  for (int i = 0; i < BURST; i++) {
    struct frame spare;
    int is_full = line->tail - line->head == RING_FRAMES;
    struct frame *frame = is_full ? &spare : &line->ring[line->tail % RING_FRAMES];
    ssize_t length = read(line->from, frame->bytes, FRAME_BYTES);
    if (length <= 0) return;
    frame->length = (int)length;
    if (is_full) line->dropped++;
    else enter(line, frame, now_ns());
  }
}

/* Lets out what is due. @returns when the next one is, or 0. */
static int64_t leave(struct direction *line, int64_t now) {
  while (line->head != line->tail) {
    struct frame *frame = &line->ring[line->head % RING_FRAMES];
    if (frame->due > now) return frame->due;
    line->head++;
    if (frame->length == 0) continue;
    /* A device that is down refuses: as good as lost, and the other end's own doing. */
    if (write(line->to, frame->bytes, (size_t)frame->length) != frame->length) continue;
    line->frames++;
    line->bytes += (uint64_t)frame->length;
  }
  return 0;
}

static void obey(const char *text) {
  double delay_ms, rate_mbit, queue, share;
  unsigned long long seed;
  if (sscanf(text, "set %lf %lf %lf %lf %llu", &delay_ms, &rate_mbit, &queue, &share, &seed) == 5) {
    delay_ns = (int64_t)(delay_ms * 1e6);
    bytes_per_ns = rate_mbit / 8e3;
    queue_bytes = queue;
    loss = share;
    for (int i = 0; i < 2; i++) {
      struct direction *line = &directions[i];
      line->random = (seed * 2 + (unsigned)i + 1) * 0x9e3779b97f4a7c15ull;
      line->frames = line->bytes = line->dropped = line->lost = 0;
    }
    puts("ok");
  } else if (strncmp(text, "count", 5) == 0) {
    printf("count");
    for (int i = 0; i < 2; i++) {
      struct direction *line = &directions[i];
      printf(" %llu %llu %llu %llu", (unsigned long long)line->frames, (unsigned long long)line->bytes,
             (unsigned long long)line->dropped, (unsigned long long)line->lost);
    }
    puts("");
  } else {
    puts("unknown");
  }
  fflush(stdout);
}

/* @returns whether there is more to come. */
static int listen_to_input(void) {
  static char text[256];
  static size_t used;
  ssize_t length = read(0, text + used, sizeof text - 1 - used);
  if (length <= 0) return 0;
  used += (size_t)length;
  text[used] = 0;
  for (char *end; (end = strchr(text, '\n')) != NULL;) {
    *end = 0;
    obey(text);
    used -= (size_t)(end + 1 - text);
    memmove(text, end + 1, used + 1);
  }
  if (used == sizeof text - 1) used = 0;
  return 1;
}

int main(int count, char **words) {
  if (count != 3) return fprintf(stderr, "usage: link TAP TAP\n"), 2;
  int taps[2] = {open_tap(words[1]), open_tap(words[2])};
  for (int i = 0; i < 2; i++) {
    directions[i].from = taps[i];
    directions[i].to = taps[!i];
    directions[i].ring = malloc(RING_FRAMES * sizeof(struct frame));
    if (directions[i].ring == NULL) return perror("link"), 1;
  }
  obey("set 0 0 0 0 1");
  /* Late on a busy machine would be jitter; where that is not allowed, so be it. */
  struct sched_param priority = {.sched_priority = 1};
  sched_setscheduler(0, SCHED_RR, &priority);

  struct pollfd sources[3] = {{taps[0], POLLIN, 0}, {taps[1], POLLIN, 0}, {0, POLLIN, 0}};
  for (;;) {
    int64_t now = now_ns(), next = 0;
    for (int i = 0; i < 2; i++) {
      int64_t due = leave(&directions[i], now);
      if (due != 0 && (next == 0 || due < next)) next = due;
    }
    int64_t wait = next > now ? next - now : 0;
    struct timespec timeout = {wait / 1000000000, wait % 1000000000};
    if (ppoll(sources, 3, next == 0 ? NULL : &timeout, NULL) < 0 && errno != EINTR) return perror("poll"), 1;
    for (int i = 0; i < 2; i++)
      if (sources[i].revents & POLLIN) take(&directions[i]);
    if (sources[2].revents & (POLLIN | POLLHUP) && !listen_to_input()) return 0;
  }
}
