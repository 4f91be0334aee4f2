/* A fast upstream for benchmarks: it speaks as Orchestrator's triggers do, and a little of the Jobs API.
 *
 *   upstream PORT HOLD [HOOK_PORT HOOK_SECRET]
 *
 * One process, one epoll loop, one request at a time on a connection. A start names its job by the members of its body:
 * `"id":"0000000042"` (ten digits), `"ms":250` (how long it runs; -1: until released), and `$callMode`:
 *
 *   POST /t/F/echo    200 with the outcome, whatever the mode: a job that has ended before its start is answered
 *   POST /t/F/job     AsyncRequestReply: 202, Location /status/ID · LongPolling: held · else 200, empty
 *   GET  /status/ID   200 while the job runs, then 303 to /output/ID
 *   GET  /output/ID   200 with the outcome
 *   GET  /leg/ID      held: 200 with the outcome, or 303 to itself after HOLD seconds
 *   POST /odata/Jobs/…StartJobs, GET /odata/Jobs/…GetByKey(identifier=KEY)
 *
 * With HOOK_PORT, the end of a job of the Jobs API is told to /-/hooks/orchestrator there, signed with HOOK_SECRET.
 * For whoever runs the benchmark, without a credential:
 *
 *   GET  /control/counts      what was asked, as JSON
 *   GET  /control/started/N   held until N jobs were started
 *   POST /control/release     end all jobs that run until released
 *
 * A job has ended once its timer was seen to: its outcome tells that moment, so that a reader knows how late it reads. */
#define _GNU_SOURCE
#include "wire.h"
#include "sha256.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { MAX_JOBS = 1 << 23, HOOK_CONNECTIONS = 8, EVENTS = 256 };

struct connection {
    int fd;
    uint32_t serial; /* tells this connection from an earlier one of the same fd */
    uint32_t holds;  /* the job that its request waits for, 0 if none */
    bool hook, busy, blocked;
    struct buffer in, out;
};

struct job {
    uint64_t ended; /* 0 while it runs */
    struct connection *waiting;
    uint32_t starts;
    bool api;
};

/* Something to happen: the end of job `job`, or the end of a hold on the connection `fd` if it is still `serial`. */
struct timer {
    uint64_t at;
    uint32_t job, serial;
    int fd;
};

static struct {
    unsigned long long calls, starts, twice, running, echoes, statuses, outputs, legs, reads, refused, hooks, failed_hooks;
} counts;

static struct job *jobs;
static struct connection **connections; /* by fd */
static struct timer *timers;            /* a heap */
static size_t timers_length, timers_capacity;
static uint32_t *held;                  /* jobs that run until released */
static size_t held_length, held_capacity;
static uint32_t *untold;                /* ends to be told by webhook: a queue */
static size_t untold_first, untold_length, untold_capacity;
static struct connection *hooks[HOOK_CONNECTIONS];
static struct connection *watcher; /* who waits for `watched` starts */
static unsigned long long watched;
static int loop, clock_fd, port, hook_port;
static const char *hook_secret;
static uint32_t serials;
static uint64_t longest_hold;

/* Timers. */

static void set_clock(void) {
    struct itimerspec next = {0};
    if (timers_length > 0)
        next.it_value = (struct timespec){(time_t)(timers[0].at / 1000000000u), (long)(timers[0].at % 1000000000u)};
    if (timerfd_settime(clock_fd, TFD_TIMER_ABSTIME, &next, NULL) != 0) fail("timerfd_settime");
}

static void add_timer(struct timer timer) {
    if (timers_length == timers_capacity) {
        timers_capacity = timers_capacity ? timers_capacity * 2 : 1024;
        if ((timers = realloc(timers, timers_capacity * sizeof *timers)) == NULL) fail("realloc");
    }
    size_t at = timers_length++;
    for (; at > 0 && timers[(at - 1) / 2].at > timer.at; at = (at - 1) / 2) timers[at] = timers[(at - 1) / 2];
    timers[at] = timer;
    if (at == 0) set_clock();
}

static struct timer first_timer(void) {
    struct timer first = timers[0], last = timers[--timers_length];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < timers_length && timers[child + 1].at < timers[child].at) child++;
        if (child >= timers_length || timers[child].at >= last.at) break;
        timers[at] = timers[child];
        at = child;
    }
    timers[at] = last;
    return first;
}

static void push(uint32_t **list, size_t *length, size_t *capacity, uint32_t value) {
    if (*length == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 1024;
        if ((*list = realloc(*list, *capacity * sizeof **list)) == NULL) fail("realloc");
    }
    (*list)[(*length)++] = value;
}

/* Connections. */

static struct connection *opened(int fd, bool hook) {
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("calloc");
    connection->fd = fd;
    connection->serial = ++serials;
    connection->hook = hook;
    connections[fd] = connection;
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted) != 0) fail("epoll_ctl");
    return connection;
}

static void closed(struct connection *connection) {
    if (connection->holds && jobs[connection->holds].waiting == connection) jobs[connection->holds].waiting = NULL;
    if (watcher == connection) watcher = NULL;
    for (int i = 0; i < HOOK_CONNECTIONS; i++)
        if (hooks[i] == connection) {
            counts.failed_hooks += connection->busy;
            hooks[i] = NULL;
        }
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->in.bytes);
    free(connection->out.bytes);
    free(connection);
}

/* Send what is to be sent; what the socket does not take waits for it. A broken connection is found when it is read. */
static void flush(struct connection *connection) {
    size_t sent = 0;
    while (sent < connection->out.length) {
        ssize_t count = send(connection->fd, connection->out.bytes + sent, connection->out.length - sent, MSG_NOSIGNAL);
        if (count < 0) break;
        sent += (size_t)count;
    }
    bool blocked = sent < connection->out.length;
    consume(&connection->out, sent);
    if (blocked == connection->blocked) return;
    connection->blocked = blocked;
    struct epoll_event wanted = {.events = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(loop, EPOLL_CTL_MOD, connection->fd, &wanted) != 0) fail("epoll_ctl");
}

static void answer(struct connection *connection, const char *status, const char *location, const char *body,
                   size_t length) {
    char head[512];
    int head_length = sprintf(head, "HTTP/1.1 %s\r\n", status);
    if (location) head_length += sprintf(head + head_length, "Location: http://127.0.0.1:%d%s\r\n", port, location);
    if (length) head_length += sprintf(head + head_length, "Content-Type: application/json\r\n");
    head_length += sprintf(head + head_length, "Content-Length: %zu\r\n\r\n", length);
    append(&connection->out, head, (size_t)head_length);
    append(&connection->out, body, length);
    flush(connection);
}

static void answer_text(struct connection *connection, const char *status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsprintf(text, format, arguments);
    va_end(arguments);
    answer(connection, status, NULL, text, (size_t)length);
}

static void answer_location(struct connection *connection, const char *status, const char *what, uint32_t id) {
    char path[64];
    sprintf(path, "/%s/%010u", what, id);
    answer(connection, status, path, "", 0);
}

static void answer_outcome(struct connection *connection, uint32_t id) {
    char body[OUTCOME_SIZE];
    size_t length = outcome_of(id, jobs[id].ended, body);
    answer(connection, "200 OK", NULL, body, length);
}

static void answer_counts(struct connection *connection) {
    answer_text(connection, "200 OK",
                "{\"calls\":%llu,\"starts\":%llu,\"twice\":%llu,\"running\":%llu,\"echoes\":%llu,\"statuses\":%llu,"
                "\"outputs\":%llu,\"legs\":%llu,\"reads\":%llu,\"refused\":%llu,\"hooks\":%llu,\"failed_hooks\":%llu}",
                counts.calls, counts.starts, counts.twice, counts.running, counts.echoes, counts.statuses,
                counts.outputs, counts.legs, counts.reads, counts.refused, counts.hooks, counts.failed_hooks);
}

/* Webhooks: one at a time on a connection, so that a lost one is seen. */

static struct connection *hook_connection(void) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)hook_port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)&there, sizeof there) != 0) {
        close(fd);
        return NULL;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return opened(fd, true);
}

static void key_of(uint32_t id, char key[40]) { sprintf(key, "00000000-0000-4000-8000-%012x", id); }

static void send_hook(struct connection *connection, uint32_t id) {
    char key[40], body[256], head[512];
    unsigned char digest[32];
    key_of(id, key);
    int length = sprintf(body, "{\"Type\":\"job.completed\",\"EventId\":\"%s\",\"Job\":{\"Key\":\"%s\"}}", key, key);
    hmac_sha256(hook_secret, body, (size_t)length, digest);
    int head_length = sprintf(head, "POST /-/hooks/orchestrator HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                              "Content-Type: application/json\r\nX-UiPath-Signature: sha256=", hook_port);
    for (int i = 0; i < 32; i++) head_length += sprintf(head + head_length, "%02x", digest[i]);
    head_length += sprintf(head + head_length, "\r\nContent-Length: %d\r\n\r\n", length);
    append(&connection->out, head, (size_t)head_length);
    append(&connection->out, body, (size_t)length);
    connection->busy = true;
    flush(connection);
}

static void tell(void) {
    for (int i = 0; i < HOOK_CONNECTIONS && untold_first < untold_length; i++) {
        if (hooks[i] == NULL) hooks[i] = hook_connection();
        if (hooks[i] == NULL) counts.failed_hooks++, untold_first++;
        else if (!hooks[i]->busy) send_hook(hooks[i], untold[untold_first++]);
    }
    if (untold_first == untold_length) untold_first = untold_length = 0;
}

static void hook_answered(struct connection *connection) {
    struct message message;
    if (!whole_message(&connection->in, &message)) return;
    counts.hooks++;
    counts.failed_hooks += strncmp(message.head, "HTTP/1.1 2", 10) != 0;
    consume(&connection->in, message.total);
    connection->busy = false;
    tell();
}

/* Jobs. */

static void end_job(uint32_t id, uint64_t now) {
    jobs[id].ended = now;
    counts.running--;
    if (jobs[id].api && hook_port) push(&untold, &untold_length, &untold_capacity, id);
}

static void serve(struct connection *connection);

static void tell_waiting(uint32_t id) {
    struct connection *waiting = jobs[id].waiting;
    if (waiting == NULL) return;
    jobs[id].waiting = NULL;
    waiting->holds = 0;
    answer_outcome(waiting, id);
    serve(waiting); /* what came behind the request that was held */
}

static void release(void) {
    uint64_t now = now_ns();
    for (size_t i = 0; i < held_length; i++) end_job(held[i], now);
    for (size_t i = 0; i < held_length; i++) tell_waiting(held[i]);
    held_length = 0;
    tell();
}

static void hold(struct connection *connection, uint32_t id) {
    if (jobs[id].waiting) {
        jobs[id].waiting->holds = 0;
        answer_location(jobs[id].waiting, "303 See Other", "leg", id);
    }
    jobs[id].waiting = connection;
    connection->holds = id;
    add_timer((struct timer){now_ns() + longest_hold, id, connection->serial, connection->fd});
}

static void timers_due(void) {
    uint64_t expirations;
    if (read(clock_fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) fail("read");
    while (timers_length > 0 && timers[0].at <= now_ns()) {
        struct timer timer = first_timer();
        if (timer.serial == 0) {
            end_job(timer.job, now_ns());
            tell_waiting(timer.job);
            tell();
            continue;
        }
        struct connection *connection = connections[timer.fd];
        if (connection == NULL || connection->serial != timer.serial || connection->holds != timer.job) continue;
        jobs[timer.job].waiting = NULL;
        connection->holds = 0;
        answer_location(connection, "303 See Other", "leg", timer.job);
        serve(connection);
    }
    set_clock();
}

/* Requests. */

/* Find the value of a member of a JSON object, or of one that is text within JSON. */
static const char *member(const struct message *message, const char *name) {
    const char *at = memmem(message->body, message->body_length, name, strlen(name));
    if (at == NULL) return NULL;
    at += strlen(name);
    return at + strspn(at, "\\\": ");
}

static uint32_t start_job(const struct message *message, bool api) {
    const char *id_text = member(message, "\"id"), *ms_text = member(message, "\"ms");
    if (id_text == NULL) id_text = member(message, "\"id\\");
    uint32_t id = id_text ? (uint32_t)strtoul(id_text, NULL, 10) : 0;
    if (id == 0 || id >= MAX_JOBS) return 0;
    counts.starts++;
    if (jobs[id].starts++) counts.twice++;
    counts.running++;
    uint64_t now = now_ns();
    long ms = ms_text ? strtol(ms_text, NULL, 10) : 0;
    jobs[id].ended = 0;
    jobs[id].api = api;
    if (ms < 0) push(&held, &held_length, &held_capacity, id);
    else if (ms == 0) end_job(id, now);
    else add_timer((struct timer){now + (uint64_t)ms * 1000000u, id, 0, -1});
    if (watcher && counts.starts >= watched) {
        struct connection *told = watcher;
        watcher = NULL;
        answer_counts(told);
    }
    return id;
}

static void started(struct connection *connection, const struct message *message, bool echo) {
    uint32_t id = start_job(message, false);
    if (id == 0) {
        answer_text(connection, "400 Bad Request", "{\"message\":\"no id\"}");
        return;
    }
    const char *mode = member(message, "\"$callMode");
    if (echo) {
        counts.echoes++;
        if (!jobs[id].ended) end_job(id, now_ns());
        answer_outcome(connection, id);
    } else if (mode && strncmp(mode, "Async", 5) == 0) {
        answer_location(connection, "202 Accepted", "status", id);
    } else if (mode && strncmp(mode, "LongP", 5) == 0) {
        counts.legs++;
        if (jobs[id].ended) answer_outcome(connection, id);
        else hold(connection, id);
    } else {
        answer(connection, "200 OK", NULL, "", 0);
    }
}

static void started_by_api(struct connection *connection, const struct message *message) {
    char key[40];
    uint32_t id = start_job(message, true);
    key_of(id, key);
    answer_text(connection, id ? "201 Created" : "400 Bad Request",
                "{\"value\":[{\"Id\":%u,\"Key\":\"%s\",\"State\":\"Pending\"}]}", id, key);
    tell();
}

/* Answer a read of the Jobs API: the output is text, its quotation marks escaped. */
static void read_by_api(struct connection *connection, const char *path) {
    const char *key = strstr(path, "identifier=00000000-0000-4000-8000-");
    uint32_t id = key ? (uint32_t)strtoul(key + 35, NULL, 16) : 0;
    if (id == 0 || id >= MAX_JOBS || jobs[id].starts == 0) {
        answer_text(connection, "404 Not Found", "{\"message\":\"no such job\"}");
        return;
    }
    char name[40], plain[OUTCOME_SIZE], escaped[2 * OUTCOME_SIZE] = "null";
    size_t length = 0;
    key_of(id, name);
    if (jobs[id].ended) {
        size_t plain_length = outcome_of(id, jobs[id].ended, plain);
        escaped[length++] = '"';
        for (size_t i = 0; i < plain_length; i++) {
            if (plain[i] == '"') escaped[length++] = '\\';
            escaped[length++] = plain[i];
        }
        strcpy(escaped + length, "\"");
    }
    answer_text(connection, "200 OK", "{\"Id\":%u,\"Key\":\"%s\",\"State\":\"%s\",\"OutputArguments\":%s}", id, name,
                jobs[id].ended ? "Successful" : "Running", escaped);
}

static void read_job(struct connection *connection, const char *kind, uint32_t id) {
    if (id == 0 || id >= MAX_JOBS || jobs[id].starts == 0) {
        answer_text(connection, "404 Not Found", "{\"message\":\"no such job\"}");
        return;
    }
    bool ended = jobs[id].ended != 0;
    switch (*kind) {
    case 's':
        counts.statuses++;
        if (ended) answer_location(connection, "303 See Other", "output", id);
        else answer_text(connection, "200 OK", "{\"status\":\"Running\"}");
        return;
    case 'o':
        counts.outputs++;
        if (ended) answer_outcome(connection, id);
        else answer_text(connection, "409 Conflict", "{\"message\":\"still running\"}");
        return;
    default:
        counts.legs++;
        if (ended) answer_outcome(connection, id);
        else hold(connection, id);
    }
}

static void control(struct connection *connection, const char *path) {
    if (strncmp(path, "started/", 8) == 0) {
        watched = strtoull(path + 8, NULL, 10);
        if (counts.starts >= watched) answer_counts(connection);
        else watcher = connection;
        return;
    }
    if (strncmp(path, "release", 7) == 0) release();
    answer_counts(connection);
}

static void request(struct connection *connection, const struct message *message) {
    const char *target = strchr(message->head, ' ');
    if (target == NULL) {
        answer_text(connection, "400 Bad Request", "{\"message\":\"no target\"}");
        return;
    }
    target++;
    if (strncmp(target, "/control/", 9) == 0) {
        control(connection, target + 9);
        return;
    }
    counts.calls++;
    if (strcasestr(message->head, "\nauthorization: bearer ") == NULL) {
        counts.refused++;
        answer_text(connection, "401 Unauthorized", "{\"message\":\"no bearer\"}");
    } else if (strncmp(target, "/t/", 3) == 0) {
        const char *slug = strchr(target + 3, '/');
        started(connection, message, slug && strncmp(slug, "/echo", 5) == 0);
    } else if (strncmp(target, "/odata/Jobs/", 12) == 0) {
        if (*message->head == 'P') {
            started_by_api(connection, message);
        } else {
            counts.reads++;
            read_by_api(connection, target);
        }
    } else {
        const char *number = strchr(target + 1, '/');
        read_job(connection, target + 1, number ? (uint32_t)strtoul(number + 1, NULL, 10) : 0);
    }
}

/* Answer the requests that are there, up to one that is held. */
static void serve(struct connection *connection) {
    struct message message;
    while (!connection->holds && connection->in.length > 0 && whole_message(&connection->in, &message)) {
        request(connection, &message);
        consume(&connection->in, message.total);
    }
}

static void readable(struct connection *connection) {
    char received[65536];
    ssize_t count = recv(connection->fd, received, sizeof received, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        closed(connection);
        return;
    }
    append(&connection->in, received, (size_t)count);
    if (connection->hook) hook_answered(connection);
    else serve(connection);
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) opened(fd, false);
    if (errno != EAGAIN && errno != ECONNABORTED) perror("accept4");
}

static int listening(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || listen(fd, 4096) != 0) fail("listen");
    return fd;
}

int main(int count, char **arguments) {
    if (count != 3 && count != 5) {
        fprintf(stderr, "upstream PORT HOLD [HOOK_PORT HOOK_SECRET]\n");
        return 2;
    }
    port = atoi(arguments[1]);
    longest_hold = strtoull(arguments[2], NULL, 10) * 1000000000u;
    if (count == 5) {
        hook_port = atoi(arguments[3]);
        hook_secret = arguments[4];
        if (strlen(hook_secret) > 64) return 2;
    }
    raise_file_limit();
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    connections = calloc(files.rlim_cur, sizeof *connections);
    jobs = mmap(NULL, MAX_JOBS * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (connections == NULL || jobs == MAP_FAILED) fail("memory");
    loop = epoll_create1(EPOLL_CLOEXEC);
    clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listening();
    struct epoll_event ready[EVENTS], of_listener = {.events = EPOLLIN, .data.ptr = &listener};
    struct epoll_event of_clock = {.events = EPOLLIN, .data.ptr = &clock_fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, listener, &of_listener);
    epoll_ctl(loop, EPOLL_CTL_ADD, clock_fd, &of_clock);
    for (;;) {
        int events = epoll_wait(loop, ready, EVENTS, -1);
        for (int i = 0; i < events; i++) {
            if (ready[i].data.ptr == &listener) accept_all(listener);
            else if (ready[i].data.ptr == &clock_fd) timers_due();
            else {
                if (ready[i].events & EPOLLOUT) flush(ready[i].data.ptr);
                if (ready[i].events & ~(uint32_t)EPOLLOUT) readable(ready[i].data.ptr);
            }
        }
    }
}
