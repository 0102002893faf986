/* models.c - see models.h. Speaks to the server that the user named, and follows it nowhere
 * else. */
#include "cli/models.h"

#include <string.h>

#include "base/json.h"

#if GLIM_WITH_CURL

#include <curl/curl.h>

enum { ANSWER_MAX = 1 << 20, CONNECT_S = 5, ALL_S = 20 };

static size_t take(char *bytes, size_t one, size_t n, void *ctx)
{
    struct buf *const b = ctx;
    (void)one;
    if (b->len + n > ANSWER_MAX)
        return 0;
    buf_add(b, bytes, n);
    return b->failed ? 0 : n;
}

static int get(CURL *c, const char *url, const char *key, struct buf *body, struct err *e)
{
    struct buf full, header;
    struct curl_slist *headers = NULL;
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    buf_init(&full);
    buf_init(&header);
    buf_addf(&full, "%s/v1/models", url);
    buf_addf(&header, "Authorization: Bearer %s", key);
    headers = curl_slist_append(headers, header.data);
    (void)curl_easy_setopt(c, CURLOPT_URL, full.data);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)ALL_S);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    const CURLcode rc = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    buf_deinit(&full);
    buf_deinit(&header);
    if (rc != CURLE_OK)
        return err_set(e, GLIM_EIO,
                       "no glim serve at %s (%s); start it, or name another with --url", url,
                       *why ? why : curl_easy_strerror(rc));
    if (status != 200)
        return err_set(e, GLIM_EIO, "%s/v1/models answers %ld%s", url, status,
                       status == 401   ? ": give its key with --api-key-file"
                       : status == 503 ? ": the model is being loaded"
                                       : "");
    return GLIM_OK;
}

static int take_model(const struct buf *body, struct buf *name, uint64_t *context_tok)
{
    struct json_object *all, *data = NULL, *id = NULL, *context = NULL;
    if (json_read(body->data, body->len, "models", &all, NULL) != 0)
        return -1;
    if (json_object_is_type(all, json_type_object))
        data = json_object_object_get(all, "data");
    if (json_object_is_type(data, json_type_array) && json_object_array_length(data) > 0)
        data = json_object_array_get_idx(data, 0);
    if (json_object_is_type(data, json_type_object)) {
        id = json_object_object_get(data, "id");
        context = json_object_object_get(data, "max_input_tokens");
    }
    const bool found = json_object_is_type(id, json_type_string);
    if (found)
        buf_adds(name, json_object_get_string(id));
    *context_tok =
        json_object_is_type(context, json_type_int) ? json_object_get_uint64(context) : 0;
    json_object_put(all);
    return found ? 0 : -1;
}

int models_ask(const char *url, const char *key, struct buf *name, uint64_t *context_tok,
               struct err *e)
{
    struct buf body;
    buf_init(&body);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *const c = curl_easy_init();
    int rc = c ? get(c, url, key, &body, e) : err_nomem(e, "libcurl", 0);
    if (rc == GLIM_OK && take_model(&body, name, context_tok) != 0)
        rc = err_set(e, GLIM_EIO, "%s/v1/models: no list of models", url);
    curl_easy_cleanup(c);
    curl_global_cleanup();
    buf_deinit(&body);
    return rc;
}

#else

int models_ask(const char *url, const char *key, struct buf *name, uint64_t *context_tok,
               struct err *e)
{
    (void)key, (void)name, (void)context_tok;
    return err_set(e, GLIM_EUNSUPPORTED, "%s: built without libcurl, so give the model's name with "
                   "--alias", url);
}

#endif
