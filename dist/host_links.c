#include "dist/host_links.h"

#include "core/base/clock.h"
#include "dist/world.h"
#include "dist/world_state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_ADDRESSES = 8, PROBE_AFTER = 2, PROBE_INTERVAL = 1, PROBES = 5 };
_Static_assert(PROBE_AFTER + PROBES * PROBE_INTERVAL == HOST_SILENT_SECONDS, "keepalive");

/* CONNECT_SECONDS: an interface may lead nowhere. FURTHER_SECONDS: after the first connection, the
 * time for those over other networks. CLOSED_SECONDS: a rank that has ended is first a matter of
 * the ranks of its host and of the launcher; with several hosts, one after another may report. */
static const double CONNECT_SECONDS = 2, FURTHER_SECONDS = 0.3, CLOSED_SECONDS = 3;

/* Where rank 0 listens. The token keeps out connections that are not of this run. */
typedef struct Offer {
    uint64_t token;
    in_port_t port;
    int count;
    struct in_addr addresses[MOST_ADDRESSES];
} Offer;

typedef struct Hello {
    uint64_t token;
    int32_t rank;
} Hello;

typedef struct Link {
    int fd; /* -1: broken */
    int rank;
} Link;

struct HostLinks {
    const World *world;
    int listener, count, capacity;
    Link *list;
    int lost; /* the first rank of a host without connections; -1: none */
    HostLoss loss;
    double lost_for;
};

/* ---- sockets --------------------------------------------------------------------------------- */

static int socket_open(void) {
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void keepalive_set(int fd) {
    const int on = 1, after = PROBE_AFTER, interval = PROBE_INTERVAL, probes = PROBES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof after);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static Status link_add(HostLinks *links, int fd, int rank) {
    if (links->count == links->capacity) {
        int capacity = 2 * links->capacity + MOST_ADDRESSES;
        Link *list = realloc(links->list, (size_t)capacity * sizeof *list);
        if (list == NULL) {
            close(fd);
            return OUT_OF_MEMORY("connections between hosts");
        }
        links->list = list;
        links->capacity = capacity;
    }
    keepalive_set(fd);
    links->list[links->count++] = (Link){fd, rank};
    return OK;
}

static void link_break(Link *link) {
    close(link->fd);
    link->fd = -1;
}

/* Waits until `deadline` for data of a peer; whether all `bytes` came. The few bytes of a greeting
 * are one packet. */
static bool receive(int fd, void *data, size_t bytes, double deadline) {
    struct pollfd wait = {fd, POLLIN, 0};
    double left = deadline - clock_seconds();
    poll(&wait, 1, left > 0 ? (int)(1e3 * left) : 0);
    return recv(fd, data, bytes, 0) == (ssize_t)bytes;
}

/* ---- rank 0 ---------------------------------------------------------------------------------- */

static void addresses_find(Offer *offer) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) return;
    for (const struct ifaddrs *at = all; at != NULL && offer->count < MOST_ADDRESSES;
         at = at->ifa_next) {
        bool is_up = (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0;
        if (!is_up || at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET) continue;
        struct sockaddr_in address;
        memcpy(&address, at->ifa_addr, sizeof address);
        offer->addresses[offer->count++] = address.sin_addr;
    }
    freeifaddrs(all);
}

static void listen_begin(HostLinks *links, Offer *offer) {
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t bytes = sizeof any;
    links->listener = socket_open();
    if (links->listener >= 0 && bind(links->listener, (struct sockaddr *)&any, bytes) == 0 &&
        listen(links->listener, SOMAXCONN) == 0 &&
        getsockname(links->listener, (struct sockaddr *)&any, &bytes) == 0 &&
        getrandom(&offer->token, sizeof offer->token, 0) == sizeof offer->token) {
        offer->port = any.sin_port;
        addresses_find(offer);
    }
}

/* The kernel has completed the connections of all other hosts; takes those that greet. */
static Status accept_all(HostLinks *links, const Offer *offer) {
    double deadline = clock_seconds() + CONNECT_SECONDS;
    for (int fd; (fd = accept4(links->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        Hello hello;
        if (receive(fd, &hello, sizeof hello, deadline) && hello.token == offer->token &&
            send(fd, &hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello) {
            TRY(link_add(links, fd, hello.rank));
        } else {
            close(fd);
        }
    }
    close(links->listener);
    links->listener = -1;
    return OK;
}

/* ---- the first ranks of the other hosts ------------------------------------------------------ */

static void greet(Link *link, const Offer *offer, int rank) {
    const Hello hello = {offer->token, rank};
    if (send(link->fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) link_break(link);
}

/* Waits for the connections that are under way, and greets. */
static void connections_await(HostLinks *links, const Offer *offer) {
    double deadline = clock_seconds() + CONNECT_SECONDS;
    bool settled[MOST_ADDRESSES] = {false};
    for (int open = links->count; open > 0 && clock_seconds() < deadline;) {
        struct pollfd wait[MOST_ADDRESSES];
        for (int i = 0; i < links->count; i++)
            wait[i] = (struct pollfd){settled[i] ? -1 : links->list[i].fd, POLLOUT, 0};
        poll(wait, (nfds_t)links->count, 50);
        for (int i = 0; i < links->count; i++) {
            if (settled[i] || wait[i].revents == 0) continue;
            settled[i] = true;
            open--;
            greet(&links->list[i], offer, links->world->rank);
            double further = clock_seconds() + FURTHER_SECONDS;
            if (links->list[i].fd >= 0 && further < deadline) deadline = further;
        }
    }
    for (int i = 0; i < links->count; i++) {
        if (!settled[i]) link_break(&links->list[i]);
    }
}

static Status connect_all(HostLinks *links, const Offer *offer) {
    for (int i = 0; i < offer->count; i++) {
        struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = offer->port, .sin_addr = offer->addresses[i]};
        int fd = socket_open();
        if (fd < 0) continue;
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS)
            TRY(link_add(links, fd, 0));
        else
            close(fd);
    }
    connections_await(links, offer);
    return OK;
}

/* Keeps the connections whose greeting rank 0 has returned. */
static void answers_await(HostLinks *links, const Offer *offer) {
    double deadline = clock_seconds() + CONNECT_SECONDS;
    int kept = 0;
    for (int i = 0; i < links->count; i++) {
        Link *link = &links->list[i];
        Hello answer;
        if (link->fd >= 0 && receive(link->fd, &answer, sizeof answer, deadline) &&
            answer.token == offer->token) {
            links->list[kept++] = *link;
        } else if (link->fd >= 0) {
            close(link->fd);
        }
    }
    links->count = kept;
}

/* ---- create and destroy ---------------------------------------------------------------------- */

static Status links_connect(HostLinks *links, World *world) {
    bool is_first = world->local_rank == 0, listens = world->rank == 0;
    Offer offer = {0};
    if (listens) listen_begin(links, &offer);
    TRY(world_broadcast(world, &offer, sizeof offer));
    TRY(world_agree(world, is_first && !listens ? connect_all(links, &offer) : OK));
    TRY(world_agree(world, listens && offer.count > 0 ? accept_all(links, &offer) : OK));
    if (is_first && !listens) answers_await(links, &offer);
    return OK;
}

Status host_links_create(World *world, HostLinks **out) {
    *out = NULL;
    if (world->local_size == world->size) return OK;
    HostLinks *links = calloc(1, sizeof *links);
    Status status = world_agree(world, links != NULL ? OK : OUT_OF_MEMORY("host links"));
    if (failed(status)) {
        free(links);
        return status;
    }
    *links = (HostLinks){.world = world, .listener = -1, .lost = -1};
    *out = links;
    return links_connect(links, world);
}

void host_links_destroy(HostLinks **links) {
    HostLinks *l = *links;
    if (l == NULL) return;
    for (int i = 0; i < l->count; i++) {
        if (l->list[i].fd < 0) continue;
        ssize_t ignored = send(l->list[i].fd, "", 1, MSG_NOSIGNAL);
        (void)ignored;
        close(l->list[i].fd);
    }
    if (l->listener >= 0) close(l->listener);
    free(l->list);
    free(l);
    *links = NULL;
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool has_link(const HostLinks *links, int rank) {
    for (int i = 0; i < links->count; i++) {
        if (links->list[i].fd >= 0 && links->list[i].rank == rank) return true;
    }
    return false;
}

/* Reads the end of a connection: a byte if the other side leaves as planned. */
static void link_examine(HostLinks *links, Link *link) {
    char byte;
    ssize_t n = recv(link->fd, &byte, 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool is_closed = n == 0 || (n < 0 && (errno == ECONNRESET || errno == EPIPE));
    link_break(link);
    if (n == 1 || links->lost >= 0 || has_link(links, link->rank)) return;
    links->lost = link->rank;
    links->loss = is_closed ? HOST_CLOSED : HOST_SILENT;
}

HostLoss host_links_judge(HostLinks *links, double elapsed, int *rank) {
    if (links == NULL) return HOST_PRESENT;
    for (int i = 0; i < links->count; i++) {
        if (links->list[i].fd >= 0) link_examine(links, &links->list[i]);
    }
    if (links->lost < 0) return HOST_PRESENT;
    links->lost_for += elapsed;
    *rank = links->lost;
    return links->loss == HOST_CLOSED && links->lost_for < CLOSED_SECONDS ? HOST_PRESENT
                                                                          : links->loss;
}
