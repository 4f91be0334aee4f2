/* A load generator: kept-alive connections, one call at a time on each, every answer compared byte for byte.
 *
 *   load PORT PATH CONNECTIONS CALLS FIRST_ID [NAME=VALUE]...
 *
 *   ms=200-2000    how long jobs run, uniformly between the two; -1: until released (0)
 *   mode=MODE      the body's `$callMode` (none)
 *   sources=N      connect from 127.0.0.2, 127.0.0.3 …, in turn (127.0.0.1 alone)
 *   rate=N         connections opened a second (all at once)
 *   limit=N        seconds after which it gives up (120)
 *   delays=1       print every delay, not only how they are distributed
 *
 * Prints JSON: calls answered, seconds from the first call to the last answer; latency (call to answer) and delay (the
 * job's end, of which its outcome tells, to the answer) in milliseconds. The first answer that is not the one asked
 * for is shown on standard error, and ends it with status 1; so does a lost connection, and time running out. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256 };

struct connection {
    int fd;
    uint32_t id;
    uint64_t sent_at;
    struct buffer in;
};

static int loop, port;
static const char *path, *mode = "";
static uint32_t connections = 1, calls = 1, first_id, next_call, answered, sources;
static long least_ms, most_ms;
static double rate, limit = 120;
static bool all_delays;
static double *latencies, *delays;

static void wrong(const struct connection *connection, const char *why) {
    fprintf(stderr, "call %u: %s after %u good answers: %.*s\n", connection->id, why, answered,
            (int)(connection->in.length < 2000 ? connection->in.length : 2000),
            connection->in.length ? connection->in.bytes : "");
    exit(1);
}

/* How long a job runs follows from its id alone, so that every subject of a comparison gets the same jobs. */
static long duration_of(uint32_t id) {
    uint64_t hash = fnv1a(0xcbf29ce484222325u, (const char *)&id, sizeof id);
    return least_ms + (long)(hash % (uint64_t)(most_ms - least_ms + 1));
}

/* Send a call. It is far smaller than a socket's buffer, so it goes at once. */
static void call(struct connection *connection) {
    char body[512], text[1024], called[64] = "";
    if (next_call == calls) {
        close(connection->fd);
        return;
    }
    connection->id = first_id + next_call++;
    if (*mode) sprintf(called, "\"$callMode\":\"%s\",", mode);
    int length = sprintf(body, "{%s\"id\":\"%010u\",\"ms\":%ld,\"padding\":\"%0200d\"}", called, connection->id,
                         duration_of(connection->id), 0);
    int total = sprintf(text, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer token-of-a-caller\r\n"
                        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, port, length, body);
    connection->sent_at = now_ns();
    if (send(connection->fd, text, (size_t)total, MSG_NOSIGNAL) != total) wrong(connection, strerror(errno));
}

static void check(struct connection *connection, const struct message *answer) {
    char expected[OUTCOME_SIZE];
    const char *told = memmem(answer->body, answer->body_length, "\"ended\":\"", 9);
    uint64_t now = now_ns(), ended = told ? strtoull(told + 9, NULL, 10) : 0;
    size_t length = outcome_of(connection->id, ended, expected);
    if (strncmp(answer->head, "HTTP/1.1 200 ", 13) != 0 || answer->body_length != length ||
        memcmp(answer->body, expected, length) != 0)
        wrong(connection, "a wrong answer");
    if (ended > now) wrong(connection, "an answer before the job's end");
    latencies[answered] = (double)(now - connection->sent_at) / 1e6;
    delays[answered++] = (double)(now - ended) / 1e6;
}

static void readable(struct connection *connection) {
    char received[65536];
    struct message answer;
    ssize_t count = recv(connection->fd, received, sizeof received, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) wrong(connection, count ? strerror(errno) : "the connection was closed");
    append(&connection->in, received, (size_t)count);
    if (!whole_message(&connection->in, &answer)) return;
    if (answer.total != connection->in.length) wrong(connection, "more than one answer");
    check(connection, &answer);
    consume(&connection->in, answer.total);
    call(connection);
}

/* Connect, and call. */
static void open_one(struct connection *connection, uint32_t number) {
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (sources ? number % sources : 0));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (sources) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (bind(fd, (struct sockaddr *)&here, sizeof here) != 0) fail("bind");
    }
    if (connect(fd, (struct sockaddr *)&there, sizeof there) != 0) fail("connect");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    connection->fd = fd;
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted) != 0) fail("epoll_ctl");
    call(connection);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double centile(const double *sorted, double share) {
    return sorted[(uint32_t)(share * (double)(answered - 1) + 0.5)];
}

static void print_distribution(const char *name, double *values) {
    double sum = 0;
    qsort(values, answered, sizeof *values, by_size);
    for (uint32_t i = 0; i < answered; i++) sum += values[i];
    printf(",\"%s\":{\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f}", name, sum / answered,
           centile(values, 0.5), centile(values, 0.9), centile(values, 0.99), values[answered - 1]);
}

static void report(double seconds) {
    printf("{\"calls\":%u,\"seconds\":%.6f", answered, seconds);
    print_distribution("latency_ms", latencies);
    print_distribution("delay_ms", delays);
    if (all_delays) {
        printf(",\"delays_ms\":[");
        for (uint32_t i = 0; i < answered; i++) printf("%s%.4f", i ? "," : "", delays[i]);
        printf("]");
    }
    printf("}\n");
}

static void option(const char *text) {
    const char *value = strchr(text, '=');
    size_t length = value ? (size_t)(value - text) : 0;
    value++;
    if (length == 2 && strncmp(text, "ms", 2) == 0) {
        char *rest;
        least_ms = most_ms = strtol(value, &rest, 10);
        if (*rest == '-') most_ms = atol(rest + 1);
    } else if (length == 4 && strncmp(text, "mode", 4) == 0) {
        mode = value;
    } else if (length == 7 && strncmp(text, "sources", 7) == 0) {
        sources = (uint32_t)atoi(value);
    } else if (length == 4 && strncmp(text, "rate", 4) == 0) {
        rate = atof(value);
    } else if (length == 5 && strncmp(text, "limit", 5) == 0) {
        limit = atof(value);
    } else if (length == 6 && strncmp(text, "delays", 6) == 0) {
        all_delays = atoi(value) != 0;
    } else {
        fprintf(stderr, "no option %s\n", text);
        exit(2);
    }
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "load PORT PATH CONNECTIONS CALLS FIRST_ID [NAME=VALUE]...\n");
        return 2;
    }
    port = atoi(arguments[1]);
    path = arguments[2];
    connections = (uint32_t)atoi(arguments[3]);
    calls = (uint32_t)atoi(arguments[4]);
    first_id = (uint32_t)atoi(arguments[5]);
    for (int i = 6; i < count; i++) option(arguments[i]);
    raise_file_limit();
    struct connection *all = calloc(connections, sizeof *all);
    latencies = calloc(calls, sizeof *latencies);
    delays = calloc(calls, sizeof *delays);
    if (all == NULL || latencies == NULL || delays == NULL) fail("calloc");
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ready[EVENTS];
    uint64_t begun = now_ns();
    uint32_t opened = 0;
    while (answered < calls) {
        double passed = (double)(now_ns() - begun) / 1e9;
        if (passed > limit) {
            fprintf(stderr, "%u of %u calls were answered in %.0f s\n", answered, calls, limit);
            return 1;
        }
        uint32_t due = rate > 0 ? (uint32_t)(passed * rate) + 1 : connections;
        while (opened < connections && opened < due && next_call < calls) {
            open_one(&all[opened], opened);
            opened++;
        }
        int events = epoll_wait(loop, ready, EVENTS, opened < connections && next_call < calls ? 1 : 1000);
        for (int i = 0; i < events; i++) readable(ready[i].data.ptr);
    }
    report((double)(now_ns() - begun) / 1e9);
    return 0;
}
