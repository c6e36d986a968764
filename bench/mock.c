/* The upstream of the measurements: an image API in the shape of OpenAI's, far faster than any gateway in front of it.
 *
 *     mock PORT FOLDER
 *
 * POST (any path)      the answer FOLDER/models/<model>.json, read once at the start and sent as it stands. The model's
 *                      name is taken from a JSON body or a multipart field.
 *     slow<s>-<model>  the same answer, s seconds later
 *     error<status>    an error of that status; 429 carries Retry-After: 1
 * GET /img/<file>      the picture FOLDER/img/<file>
 * GET /stats           {"requests", "aborted", "in_flight", "most_in_flight", "bytes_in"} of the POSTs since the start
 * GET (anything else)  {"status":"ok"}, so that a proxy in front of it has a health check
 *
 * One thread, HTTP/1.1 with keep-alive; request bodies with a length or chunked. Requests are read and small answers sent
 * before large answers go on, a few of them a turn: a small request must not wait here while a thousand pictures drain.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { NAME_LIMIT = 64, PREPARED_LIMIT = 64, FIRST_BUFFER = 16384, EVENTS = 256, WRITES_A_TURN = 4, BACKLOG = 4096 };

/* A whole response, head and body. */
typedef struct {
    char *name;
    char *bytes;
    size_t length;
} Answer;

typedef struct Connection {
    int fd;
    enum { READING, WAITING, WRITING } state;
    bool wants_write;
    char *input;
    size_t used, capacity;
    size_t head; /* bytes of the request's head with its blank line; 0 until it is complete */
    size_t body_end, chunk_at;
    size_t content_length;
    bool chunked, close_after, counted;
    char own_text[512];
    Answer own; /* an answer written for this request alone, in own_text */
    const Answer *answer;
    size_t written;
    double due;
    struct Connection *earlier, *later; /* the waiting ones, ordered by due */
} Connection;

static Answer models[PREPARED_LIMIT], pictures[PREPARED_LIMIT];
static size_t model_count, picture_count;
static Connection *first_due, *last_due;
static int readers, writers; /* epoll; writers holds those whose socket was full, and is itself watched by readers */
static struct {
    unsigned long requests, aborted, in_flight, most_in_flight, bytes_in;
} stats;

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

/* ---- prepared answers ---- */

static void prepare(Answer *answer, const char *name, const char *type, FILE *file) {
    fseek(file, 0, SEEK_END);
    size_t body = (size_t)ftell(file);
    rewind(file);
    char head[256];
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, body);
    answer->name = strdup(name);
    answer->length = (size_t)head_length + body;
    answer->bytes = grown(NULL, answer->length);
    memcpy(answer->bytes, head, (size_t)head_length);
    if (fread(answer->bytes + head_length, 1, body, file) != body) die(name);
}

/* Reads every file of FOLDER/part into answers and returns how many there are; `suffix` is cut off the names. */
static size_t read_folder(Answer *answers, const char *folder, const char *part, const char *type, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, part);
    DIR *directory = opendir(path);
    if (!directory) die(path);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) && count < PREPARED_LIMIT;) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s/%s", folder, part, entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file) die(path);
        char *cut = strstr(entry->d_name, suffix);
        if (*suffix && cut) *cut = 0;
        prepare(&answers[count++], entry->d_name, type, file);
        fclose(file);
    }
    closedir(directory);
    return count;
}

static const Answer *named(const Answer *answers, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(answers[i].name, name)) return &answers[i];
    return NULL;
}

__attribute__((format(printf, 3, 4))) static const Answer *written(Connection *c, int status, const char *format, ...) {
    char body[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    c->own.bytes = c->own_text;
    c->own.length = (size_t)snprintf(c->own_text, sizeof c->own_text,
                                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
                                     status, status < 400 ? "OK" : "Error", status == 429 ? "Retry-After: 1\r\n" : "",
                                     length, body);
    return &c->own;
}

/* ---- which answer a request gets ---- */

static bool copy_name(char *name, const char *from, const char *limit, char end) {
    size_t length = 0;
    while (from < limit && *from != end && length < NAME_LIMIT - 1) name[length++] = *from++;
    name[length] = 0;
    return length > 0;
}

static bool model_in_json(const char *body, size_t length, char *name) {
    const char *limit = body + length;
    const char *at = memmem(body, length, "\"model\"", 7);
    if (!at) return false;
    at += 7;
    while (at < limit && strchr(" \t\r\n:", *at)) at++;
    return at < limit && *at == '"' && copy_name(name, at + 1, limit, '"');
}

static bool model_in_multipart(const char *body, size_t length, char *name) {
    const char *limit = body + length;
    const char *at = memmem(body, length, "name=\"model\"", 12);
    if (at) at = memmem(at, (size_t)(limit - at), "\r\n\r\n", 4);
    return at && copy_name(name, at + 4, limit, '\r');
}

static const Answer *answer_for_model(Connection *c, const char *name, double *delay) {
    char *rest;
    if (!strncmp(name, "slow", 4)) {
        *delay = strtod(name + 4, &rest);
        name = *rest == '-' ? rest + 1 : rest;
    }
    if (!strncmp(name, "error", 5))
        return written(c, atoi(name + 5), "{\"error\":{\"message\":\"as asked\",\"type\":\"server_error\",\"code\":null}}");
    const Answer *answer = named(models, model_count, name);
    if (answer) return answer;
    return written(c, 404, "{\"error\":{\"message\":\"no such model\",\"type\":\"invalid_request_error\","
                           "\"code\":\"model_not_found\"}}");
}

static const Answer *answer_for_post(Connection *c, double *delay) {
    const char *body = c->input + c->head;
    size_t length = c->body_end - c->head;
    char name[NAME_LIMIT];
    c->counted = true;
    stats.requests++;
    stats.bytes_in += length;
    if (++stats.in_flight > stats.most_in_flight) stats.most_in_flight = stats.in_flight;
    bool found = length && (*body == '{' ? model_in_json(body, length, name) : model_in_multipart(body, length, name));
    return answer_for_model(c, found ? name : "", delay);
}

static const Answer *answer_for_get(Connection *c) {
    const char *path = c->input + 4, *limit = c->input + c->head;
    char name[NAME_LIMIT];
    if (!strncmp(path, "/stats", 6))
        return written(c, 200,
                       "{\"requests\":%lu,\"aborted\":%lu,\"in_flight\":%lu,\"most_in_flight\":%lu,\"bytes_in\":%lu}",
                       stats.requests, stats.aborted, stats.in_flight, stats.most_in_flight, stats.bytes_in);
    if (strncmp(path, "/img/", 5) || !copy_name(name, path + 5, limit, ' ')) return written(c, 200, "{\"status\":\"ok\"}");
    const Answer *picture = named(pictures, picture_count, name);
    return picture ? picture : written(c, 404, "{\"error\":{\"message\":\"no such picture\"}}");
}

/* ---- those who wait ---- */

static void enlist(Connection *c) {
    Connection *before = last_due;
    while (before && before->due > c->due) before = before->earlier;
    c->earlier = before;
    c->later = before ? before->later : first_due;
    *(c->later ? &c->later->earlier : &last_due) = c;
    *(before ? &before->later : &first_due) = c;
}

static void delist(Connection *c) {
    *(c->earlier ? &c->earlier->later : &first_due) = c->later;
    *(c->later ? &c->later->earlier : &last_due) = c->earlier;
    c->earlier = c->later = NULL;
}

/* ---- connections ---- */

static void wait_to_write(Connection *c, bool waits) {
    if (c->wants_write == waits) return;
    c->wants_write = waits;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(writers, waits ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->fd, &event);
}

static void finish_request(Connection *c, bool aborted) {
    if (c->counted) {
        stats.in_flight--;
        stats.aborted += aborted;
    }
    c->counted = false;
}

static void hang_up(Connection *c) {
    if (c->state == WAITING) delist(c);
    finish_request(c, true);
    close(c->fd);
    free(c->input);
    free(c);
}

/* Sends what the socket takes. Returns false when the connection is gone. */
static bool send_answer(Connection *c) {
    while (c->written < c->answer->length) {
        ssize_t sent = send(c->fd, c->answer->bytes + c->written, c->answer->length - c->written, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            wait_to_write(c, true);
            return true;
        }
        if (sent < 0) {
            hang_up(c);
            return false;
        }
        c->written += (size_t)sent;
    }
    finish_request(c, false);
    wait_to_write(c, false);
    c->state = READING;
    if (!c->close_after) return true;
    hang_up(c);
    return false;
}

static void forget_request(Connection *c, size_t end) {
    memmove(c->input, c->input + end, c->used - end);
    c->used -= end;
    c->head = 0;
}

static void read_head(Connection *c, const char *end) {
    c->head = (size_t)(end - c->input) + 4;
    c->content_length = 0;
    c->chunked = c->close_after = false;
    for (const char *line = memmem(c->input, c->head, "\r\n", 2); line < end; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) c->content_length = strtoul(line + 15, NULL, 10);
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) c->chunked = true;
        if (!strncasecmp(line, "connection: close", 17)) c->close_after = true;
        if (!strncasecmp(line, "expect: 100-continue", 20))
            (void)!send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    }
    c->body_end = c->chunk_at = c->head;
}

/* Moves the chunks that have come together, in place. Returns the request's end in the input, or 0 while it is missing. */
static size_t join_chunks(Connection *c) {
    for (;;) {
        char *size_line = c->input + c->chunk_at;
        char *line_end = memmem(size_line, c->used - c->chunk_at, "\r\n", 2);
        if (!line_end) return 0;
        size_t size = strtoul(size_line, NULL, 16);
        size_t data = (size_t)(line_end - c->input) + 2;
        if (c->used < data + size + 2) return 0;
        memmove(c->input + c->body_end, c->input + data, size);
        c->body_end += size;
        c->chunk_at = data + size + 2;
        if (!size) return c->chunk_at;
    }
}

/* Returns where the request ends in the input, or 0 while part of it is still to come. */
static size_t request_end(Connection *c) {
    if (!c->head) {
        char *end = memmem(c->input, c->used, "\r\n\r\n", 4);
        if (!end) return 0;
        read_head(c, end);
    }
    if (c->chunked) return join_chunks(c);
    c->body_end = c->head + c->content_length;
    return c->used >= c->body_end ? c->body_end : 0;
}

/* Answers every whole request in the input. Returns false when the connection is gone. */
static bool answer_requests(Connection *c) {
    size_t end;
    while (c->state == READING && (end = request_end(c))) {
        double delay = 0;
        c->answer = strncmp(c->input, "GET ", 4) ? answer_for_post(c, &delay) : answer_for_get(c);
        c->written = 0;
        forget_request(c, end);
        if (delay > 0) {
            c->state = WAITING;
            c->due = now() + delay;
            enlist(c);
            return true;
        }
        c->state = WRITING;
        if (!send_answer(c)) return false;
    }
    return true;
}

static void make_room(Connection *c) {
    size_t wanted = c->head && !c->chunked ? c->head + c->content_length + 1 : 0;
    if (wanted <= c->used + 1) wanted = c->used * 2;
    if (c->used + 1 < c->capacity && wanted <= c->capacity) return;
    if (wanted < FIRST_BUFFER) wanted = FIRST_BUFFER;
    c->input = grown(c->input, wanted);
    c->capacity = wanted;
}

/* Returns false when the connection is gone. The input always ends in a NUL, so that a head can be read as a string. */
static bool receive(Connection *c) {
    make_room(c);
    ssize_t got = recv(c->fd, c->input + c->used, c->capacity - c->used - 1, 0);
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) {
        hang_up(c);
        return false;
    }
    c->used += (size_t)got;
    c->input[c->used] = 0;
    return answer_requests(c);
}

static void go_on_writing(void) {
    struct epoll_event events[WRITES_A_TURN];
    int ready = epoll_wait(writers, events, WRITES_A_TURN, 0);
    for (int i = 0; i < ready; i++) {
        Connection *c = events[i].data.ptr;
        if (send_answer(c)) answer_requests(c);
    }
}

static void answer_due(void) {
    double t = now();
    for (int i = 0; i < WRITES_A_TURN && first_due && first_due->due <= t; i++) {
        Connection *c = first_due;
        delist(c);
        c->state = WRITING;
        if (send_answer(c)) answer_requests(c);
    }
}

static void read_from(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    epoll_ctl(readers, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int listener) {
    for (int fd, on = 1; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Connection *c = calloc(1, sizeof *c);
        if (!c) die("calloc");
        c->fd = fd;
        read_from(fd, c);
    }
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) die("listen");
    return listener;
}

static int wait_ms(void) {
    if (!first_due) return -1;
    double rest = first_due->due - now();
    return rest <= 0 ? 0 : (int)(rest * 1000) + 1;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: mock PORT FOLDER\n");
        return 2;
    }
    model_count = read_folder(models, arguments[2], "models", "application/json", ".json");
    picture_count = read_folder(pictures, arguments[2], "img", "image/png", "");
    readers = epoll_create1(0);
    writers = epoll_create1(0);
    int listener = listen_on(atoi(arguments[1]));
    read_from(listener, &listener);
    read_from(writers, &writers);
    for (struct epoll_event events[EVENTS];;) {
        int ready = epoll_wait(readers, events, EVENTS, wait_ms());
        for (int i = 0; i < ready; i++) {
            void *what = events[i].data.ptr;
            if (what == &listener) accept_all(listener);
            else if (what != &writers) receive(what);
        }
        go_on_writing();
        answer_due();
    }
}
