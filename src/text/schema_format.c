/* schema_format.c - "format" as expressions, in the forms that people write. */
#include "text/schema.h"

#include <string.h>

#include "base/util.h"

#define OCTET  "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IPV4   OCTET "(?:\\." OCTET "){3}"
#define HEX4   "[0-9a-fA-F]{1,4}"
#define DAYS31 "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
#define DAYS30 "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
#define LEAP   "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-(?:" DAYS31 "|" DAYS30              \
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP "-02-29)"
#define TIME                                                                                       \
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):"   \
    "[0-5][0-9])"
#define LABEL "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#define HOST  LABEL "(?:\\." LABEL "){0,3}"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration",
     "^P(?:[0-9]{1,4}W|(?:[0-9]{1,4}Y(?:[0-9]{1,4}M(?:[0-9]{1,4}D)?)?|[0-9]{1,4}M(?:[0-"
     "9]{1,4}D)?|[0-9]{1,4}D)(?:T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?|[0-9]{1,"
     "4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))?|T(?:[0-9]{1,4}H(?:[0-9]{1,4}M(?:[0-9]{1,4}S)?)?"
     "|[0-9]{1,4}M(?:[0-9]{1,4}S)?|[0-9]{1,4}S))$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
    {"email", "^[a-zA-Z0-9_+-]+(?:\\.[a-zA-Z0-9_+-]+)*@" HOST "$"},
    {"hostname", "^" HOST "$"},
    {"ipv4", "^" IPV4 "$"},
    {"ipv6", "^(?:(?:" HEX4 ":){7}" HEX4 "|(?:" HEX4 ":){1,7}:|(?:" HEX4 ":){1,6}:" HEX4 "|(?:" HEX4
             ":){1,5}(?::" HEX4 "){1,2}|(?:" HEX4 ":){1,4}(?::" HEX4 "){1,3}|(?:" HEX4
             ":){1,3}(?::" HEX4 "){1,4}|(?:" HEX4 ":){1,2}(?::" HEX4 "){1,5}|" HEX4 ":(?::" HEX4
             "){1,6}|:(?:(?::" HEX4 "){1,7}|:)|::(?:ffff:)?" IPV4 ")$"},
    {"uri",
     "^[a-zA-Z][a-zA-Z0-9+.-]*:(?://" HOST "(?::[0-9]{1,5})?)?(?:/(?:[a-zA-Z0-9._~!$&'()*+,;="
     ":@-]|%[0-9a-fA-F]{2})*)*(?:\\?(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?(?:#"
     "(?:[a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?$"},
};

const char *schema_expression(struct schema *c, struct json_object *s)
{
    struct json_object *const pattern = schema_get(s, "pattern"), *const format =
                                                                      schema_get(s, "format");
    if (pattern && format)
        schema_fault(c, GLIM_EUNSUPPORTED, "\"pattern\" and \"format\" at once are not supported");
    if (pattern)
        return json_object_get_string(pattern);
    for (size_t i = 0; format && i < COUNT_OF(formats); i++) {
        if (strcmp(formats[i].name, json_object_get_string(format)) == 0)
            return formats[i].pattern;
    }
    if (format)
        schema_fault(c, GLIM_EUNSUPPORTED, "\"format\": \"%.60s\" is not supported",
                     json_object_get_string(format));
    return NULL;
}
