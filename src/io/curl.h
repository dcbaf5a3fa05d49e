/* curl.h: libcurl, loaded when something is first fetched.
 *
 * It brings some thirty libraries with it, which most applications never use: linked in, they would make
 * every instance slower to start and several megabytes larger. */
#pragma once

#include <silver/base.h>

#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define SL__CURL_FUNCTIONS(X)                                                                                \
    X(easy_cleanup)                                                                                          \
    X(easy_getinfo)                                                                                          \
    X(easy_init)                                                                                             \
    X(easy_setopt)                                                                                           \
    X(easy_strerror)                                                                                         \
    X(free)                                                                                                  \
    X(global_cleanup)                                                                                        \
    X(global_init)                                                                                           \
    X(multi_add_handle)                                                                                      \
    X(multi_assign)                                                                                          \
    X(multi_cleanup)                                                                                         \
    X(multi_info_read)                                                                                       \
    X(multi_init)                                                                                            \
    X(multi_remove_handle)                                                                                   \
    X(multi_setopt)                                                                                          \
    X(multi_socket_action)                                                                                   \
    X(slist_append)                                                                                          \
    X(slist_free_all)                                                                                        \
    X(url)                                                                                                   \
    X(url_cleanup)                                                                                           \
    X(url_get)                                                                                               \
    X(url_set)

/* The functions by their names, without "curl_". */
typedef struct sl__curl {
#define SL__CURL_POINTER(name) __typeof__(curl_##name) *name;
    SL__CURL_FUNCTIONS(SL__CURL_POINTER)
#undef SL__CURL_POINTER
} sl__curl;

/* Finds them. 0, or SL_ENOENT with *ret_error: which library is missing and what to install. */
int sl__curl_load(sl__curl *curl, sl_error **ret_error);
