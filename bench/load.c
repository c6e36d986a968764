/* A load generator for one machine: the same POST again and again over kept connections, and one line of JSON at the end.
 *
 *     load --port P --path /v1/… --body FILE [--type MIME] [--header "Name: value"]… --connections N
 *          (--seconds S | --count N) [--think-ms MS | --rate PER_SECOND] [--at-least BYTES] [--at-most BYTES] [--timeout S]
 *
 * The loop is closed: a connection asks again when its answer has come (after --think-ms). With --rate the requests are
 * due on a fixed schedule, and one that had to wait for a connection counts from when it was due, so that a stalled
 * server cannot hide its stall by not being asked. SIGTERM ends the asking; what is in flight is awaited and counted.
 *
 *     {"ok", "non2xx", "err", "short", "long", "seconds", "rps", "mb_per_s", "p50_ms", "p99_ms", "max_ms", "first_bad"}
 *
 * A 2xx answer whose body is below --at-least counts as short, above --at-most as long; err is a broken connection or a
 * timeout. Latencies are of whole answers, of every status.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16384, EVENTS = 512, RECEIVE = 1 << 20, EXCERPT = 160 };
static const double SCAN_EVERY_S = 0.1, RETRY_AFTER_S = 0.01;

typedef struct {
    int fd;
    enum { IDLE, SENDING, HEAD, BODY } state;
    bool wants_write;
    double due, idle_since, started;
    size_t sent;
    char head[HEAD_LIMIT + 1];
    size_t head_length;
    int status;
    bool chunked, close_after;
    long long content_length; /* -1: the body ends with the connection */
    size_t received;
    enum { SIZE_LINE, DATA, DATA_END, TRAILER } chunk;
    char line[32];
    size_t line_length, chunk_left;
    char excerpt[EXCERPT + 1]; /* the body's first bytes, to say what went wrong */
    size_t excerpt_length;
} Connection;

static struct {
    int port, connections;
    const char *path, *body, *type;
    char headers[4096];
    double seconds, think, rate, timeout;
    long count;
    size_t at_least, at_most;
} asked = {.path = "/", .type = "application/json", .connections = 1, .timeout = 120, .at_most = (size_t)-1};

static struct {
    long begun, ok, non2xx, err, too_short, too_long;
    unsigned long long bytes;
    char first_bad[EXCERPT + 64];
} tally;

static char *request;
static size_t request_length;
static double *latencies;
static size_t latency_count, latency_capacity;
static Connection *connections;
static int active, poller;
static double start_time, next_scan;
static volatile sig_atomic_t told_to_stop;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *grown(void *memory, size_t size) {
    void *larger = realloc(memory, size);
    if (!larger) die("realloc");
    return larger;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void stop(int signal_number) {
    (void)signal_number;
    told_to_stop = 1;
}

/* ---- the end of a request ---- */

static void note_bad(const Connection *c, const char *what) {
    if (*tally.first_bad) return;
    snprintf(tally.first_bad, sizeof tally.first_bad, "%s %d %.*s", what, c->status, (int)c->excerpt_length, c->excerpt);
    for (char *at = tally.first_bad; *at; at++)
        if (*at == '"' || *at == '\\' || !isprint((unsigned char)*at)) *at = '\'';
}

static void note_latency(double seconds) {
    if (latency_count == latency_capacity) {
        latency_capacity = latency_capacity ? latency_capacity * 2 : 65536;
        latencies = grown(latencies, latency_capacity * sizeof *latencies);
    }
    latencies[latency_count++] = seconds;
}

static void disconnect(Connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void become_idle(Connection *c, double pause) {
    c->state = IDLE;
    c->idle_since = now();
    c->due = asked.rate ? c->due + asked.connections / asked.rate : c->idle_since + pause;
    if (c->due < next_scan) next_scan = c->due;
    active--;
}

static void fail(Connection *c, const char *what) {
    tally.err++;
    note_bad(c, what);
    disconnect(c);
    become_idle(c, RETRY_AFTER_S);
}

static void complete(Connection *c) {
    note_latency(now() - c->started);
    if (c->status / 100 != 2) tally.non2xx++;
    else if (c->received < asked.at_least) tally.too_short++;
    else if (c->received > asked.at_most) tally.too_long++;
    else tally.ok++;
    if (c->status / 100 != 2) note_bad(c, "status");
    else if (c->received < asked.at_least || c->received > asked.at_most) note_bad(c, "size");
    if (c->close_after) disconnect(c);
    become_idle(c, asked.think);
}

/* ---- the answer ---- */

static void keep_excerpt(Connection *c, const char *bytes, size_t length) {
    size_t room = EXCERPT - c->excerpt_length;
    size_t part = length < room ? length : room;
    memcpy(c->excerpt + c->excerpt_length, bytes, part);
    c->excerpt_length += part;
}

/* Takes one byte of a line; true at its end, when c->line holds it without the line break. */
static bool take_line(Connection *c, char byte) {
    if (byte != '\n' && byte != '\r' && c->line_length < sizeof c->line - 1) c->line[c->line_length++] = byte;
    c->line[c->line_length] = 0;
    return byte == '\n';
}

/* Returns true when the line was the last of the body. */
static bool end_of_line(Connection *c) {
    bool empty = !c->line_length;
    c->line_length = 0;
    if (c->chunk == TRAILER) return empty;
    if (c->chunk == DATA_END) {
        c->chunk = SIZE_LINE;
        return false;
    }
    c->chunk_left = strtoul(c->line, NULL, 16);
    c->chunk = c->chunk_left ? DATA : TRAILER;
    return false;
}

static bool take_chunked(Connection *c, const char *bytes, size_t length) {
    while (length) {
        size_t part = 1;
        if (c->chunk == DATA) {
            part = length < c->chunk_left ? length : c->chunk_left;
            c->received += part;
            c->chunk_left -= part;
            if (!c->chunk_left) c->chunk = DATA_END;
        } else if (take_line(c, *bytes) && end_of_line(c)) {
            return true;
        }
        bytes += part;
        length -= part;
    }
    return false;
}

static void take_body(Connection *c, const char *bytes, size_t length) {
    bool whole;
    tally.bytes += length;
    keep_excerpt(c, bytes, length);
    if (c->chunked) {
        whole = take_chunked(c, bytes, length);
    } else {
        c->received += length;
        whole = c->content_length >= 0 && c->received >= (size_t)c->content_length;
    }
    if (whole) complete(c);
}

static const char *header(const Connection *c, const char *name) {
    const char *at = strcasestr(c->head, name);
    return at ? at + strlen(name) : NULL;
}

static bool header_says(const Connection *c, const char *name, const char *word) {
    const char *value = header(c, name);
    if (!value) return false;
    const char *end = strstr(value, "\r\n"), *found = strcasestr(value, word);
    return found && (!end || found < end);
}

static void read_head(Connection *c) {
    const char *length = header(c, "\r\ncontent-length:");
    c->status = atoi(c->head + strlen("HTTP/1.1 "));
    c->content_length = length ? atoll(length) : -1;
    c->chunked = header_says(c, "\r\ntransfer-encoding:", "chunked");
    c->close_after = header_says(c, "\r\nconnection:", "close");
    c->state = BODY;
}

/* Returns how many of the bytes belonged to the head. An interim answer (100 Continue) is passed over. */
static size_t take_head(Connection *c, const char *bytes, size_t length) {
    size_t old = c->head_length, room = HEAD_LIMIT - old;
    size_t part = length < room ? length : room;
    memcpy(c->head + old, bytes, part);
    c->head[c->head_length = old + part] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return part;
    end[2] = 0;
    read_head(c);
    if (c->status / 100 == 1) {
        c->state = HEAD;
        c->head_length = 0;
    }
    return (size_t)(end - c->head) + 4 - old;
}

static void take(Connection *c, const char *bytes, size_t length) {
    while (length && c->state == HEAD) {
        size_t head = take_head(c, bytes, length);
        if (c->state == HEAD && c->head_length == HEAD_LIMIT) {
            fail(c, "the head is too long");
            return;
        }
        bytes += head;
        length -= head;
        if (c->state == BODY && !c->chunked && !c->content_length) complete(c);
    }
    if (length && c->state == BODY) take_body(c, bytes, length);
}

static void end_of_stream(Connection *c) {
    if (c->state == BODY && !c->chunked && c->content_length < 0) {
        c->close_after = true;
        complete(c);
    } else if (c->state != IDLE) {
        fail(c, "the connection ended early");
    } else {
        disconnect(c);
    }
}

static void receive(Connection *c) {
    static char bytes[RECEIVE];
    while (c->fd >= 0) {
        ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0 && c->state != IDLE) fail(c, strerror(errno));
        else if (got <= 0) end_of_stream(c);
        else if (c->state == IDLE) disconnect(c);
        else take(c, bytes, (size_t)got);
        if (c->state == IDLE) return;
    }
}

/* ---- the request ---- */

static void watch(Connection *c, bool for_write) {
    if (c->wants_write == for_write) return;
    c->wants_write = for_write;
    struct epoll_event event = {.events = EPOLLIN | (for_write ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void send_request(Connection *c) {
    while (c->sent < request_length) {
        ssize_t sent = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            watch(c, true);
            return;
        }
        if (sent < 0) break; /* refused while sending: the answer, if there is one, says why */
        c->sent += (size_t)sent;
    }
    watch(c, false);
    c->state = HEAD;
}

static bool connected(Connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)asked.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->wants_write = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    return !connect(c->fd, (struct sockaddr *)&address, sizeof address);
}

static bool may_begin(void) {
    if (told_to_stop) return false;
    return asked.count ? tally.begun < asked.count : now() - start_time < asked.seconds;
}

static void begin(Connection *c) {
    tally.begun++;
    active++;
    c->started = asked.rate && c->idle_since > c->due ? c->due : now();
    c->state = SENDING;
    c->sent = c->head_length = c->received = c->line_length = c->excerpt_length = 0;
    c->status = 0;
    c->chunk = SIZE_LINE;
    if (c->fd >= 0 || connected(c)) send_request(c);
    else if (errno != EINPROGRESS) fail(c, strerror(errno));
}

static void serve(Connection *c, unsigned events) {
    if (c->state == SENDING && events & EPOLLERR) {
        fail(c, "no connection");
        return;
    }
    if (c->state == SENDING && events & EPOLLOUT) send_request(c);
    if (c->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
    if (c->state == IDLE && c->due <= now() && may_begin()) begin(c);
}

/* Begins what is due, ends what has waited too long, and sets when to look again. */
static void scan(void) {
    double t = now();
    next_scan = t + SCAN_EVERY_S;
    for (Connection *c = connections; c < connections + asked.connections; c++) {
        if (c->state == IDLE && c->due <= t && may_begin()) begin(c);
        else if (c->state == IDLE && c->due > t && c->due < next_scan) next_scan = c->due;
        else if (c->state != IDLE && t - c->started > asked.timeout) fail(c, "timeout");
    }
}

static void run(void) {
    struct epoll_event events[EVENTS];
    while (active || may_begin()) {
        double rest = next_scan - now();
        int ready = epoll_wait(poller, events, EVENTS, rest > 0 ? (int)(rest * 1000) + 1 : 0);
        for (int i = 0; i < ready; i++) serve(events[i].data.ptr, events[i].events);
        if (now() >= next_scan) scan();
    }
}

/* ---- before and after ---- */

static void build_request(void) {
    FILE *file = fopen(asked.body, "rb");
    if (!file) die(asked.body);
    fseek(file, 0, SEEK_END);
    size_t length = (size_t)ftell(file);
    rewind(file);
    request = grown(NULL, length + 8192);
    int head = snprintf(request, 8192,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: %s\r\nAccept: application/json\r\n"
                        "Content-Length: %zu\r\n%s\r\n",
                        asked.path, asked.port, asked.type, length, asked.headers);
    if (fread(request + head, 1, length, file) != length) die(asked.body);
    request_length = (size_t)head + length;
    fclose(file);
}

static void open_connections(void) {
    connections = calloc((size_t)asked.connections, sizeof *connections);
    if (!connections) die("calloc");
    poller = epoll_create1(0);
    start_time = now();
    for (int i = 0; i < asked.connections; i++) {
        connections[i].fd = -1;
        connections[i].due = start_time + (asked.rate ? i / asked.rate : 0);
    }
}

static void add_header(const char *line) {
    size_t used = strlen(asked.headers);
    snprintf(asked.headers + used, sizeof asked.headers - used, "%s\r\n", line);
}

static void take_option(int option, char *value) {
    switch (option) {
    case 'p': asked.port = atoi(value); break;
    case 'u': asked.path = value; break;
    case 'b': asked.body = value; break;
    case 't': asked.type = value; break;
    case 'H': add_header(value); break;
    case 'c': asked.connections = atoi(value); break;
    case 's': asked.seconds = atof(value); break;
    case 'n': asked.count = atol(value); break;
    case 'w': asked.think = atof(value) / 1000; break;
    case 'r': asked.rate = atof(value); break;
    case 'l': asked.at_least = strtoul(value, NULL, 10); break;
    case 'm': asked.at_most = strtoul(value, NULL, 10); break;
    case 'T': asked.timeout = atof(value); break;
    default: exit(2);
    }
}

static void read_options(int count, char **arguments) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},     {"path", 1, NULL, 'u'},     {"body", 1, NULL, 'b'},        {"type", 1, NULL, 't'},
        {"header", 1, NULL, 'H'},   {"count", 1, NULL, 'n'},    {"connections", 1, NULL, 'c'}, {"seconds", 1, NULL, 's'},
        {"think-ms", 1, NULL, 'w'}, {"rate", 1, NULL, 'r'},     {"at-least", 1, NULL, 'l'},    {"at-most", 1, NULL, 'm'},
        {"timeout", 1, NULL, 'T'},  {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) take_option(option, optarg);
    if (asked.port && asked.body && asked.connections > 0 && (asked.seconds > 0 || asked.count > 0)) return;
    fprintf(stderr, "load: --port, --body, --connections and --seconds or --count are needed\n");
    exit(2);
}

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(double part) {
    if (!latency_count) return 0;
    return latencies[(size_t)(part * (double)(latency_count - 1) + 0.5)] * 1000;
}

static void report(void) {
    double seconds = now() - start_time;
    if (latency_count) qsort(latencies, latency_count, sizeof *latencies, by_size);
    printf("{\"ok\":%ld,\"non2xx\":%ld,\"err\":%ld,\"short\":%ld,\"long\":%ld,\"seconds\":%.4f,\"rps\":%.3f,"
           "\"mb_per_s\":%.3f,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,\"first_bad\":\"%s\"}\n",
           tally.ok, tally.non2xx, tally.err, tally.too_short, tally.too_long, seconds, (double)tally.ok / seconds,
           (double)tally.bytes / seconds / 1e6, percentile_ms(0.5), percentile_ms(0.99), percentile_ms(1),
           tally.first_bad);
}

int main(int count, char **arguments) {
    signal(SIGTERM, stop);
    read_options(count, arguments);
    build_request();
    open_connections();
    run();
    report();
    return 0;
}
