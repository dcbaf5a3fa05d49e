/* commands.h: what the command `silver` can do, as data.
 *
 * One table describes every subcommand: its name, arguments, options, examples and exit codes. The parser
 * (parse.c), the help (help.c), the man pages (man.c) and the shell completions (completion.c) all read it
 * and know nothing else, so they cannot disagree. To add an option, add a row in commands.c. */
#pragma once

#include <silver/base.h>

/* What a shell should offer for a value. */
typedef enum sl__cli_offer {
    SL__OFFER_NOTHING,
    SL__OFFER_FILES,
    SL__OFFER_DIRECTORIES,
    SL__OFFER_COMMANDS,
    SL__OFFER_SHELLS,
} sl__cli_offer;

typedef struct sl__cli_option {
    const char *name;        /* without its dashes */
    char letter;             /* the short form, or 0 */
    const char *metavar;     /* what its value is called; NULL: a flag */
    const char *help;        /* one sentence without its full stop */
    const char *fallback;    /* what holds without it, in words; or NULL */
    const char *environment; /* the variable that gives the value when the option does not; or NULL */
    bool number;             /* the value is a whole number from `min` to `max` */
    unsigned min, max;
    sl__cli_offer offer;
    bool hidden;
} sl__cli_option;

typedef struct sl__cli_argument {
    const char *name; /* "DIR" */
    const char *help;
    bool optional;
    sl__cli_offer offer;
    bool rest; /* the last one: from here on all words are its, options too */
} sl__cli_argument;

/* Two columns of text: an example and what it does, an exit code and its meaning, a variable and its use. */
typedef struct sl__cli_pair {
    const char *name, *help;
} sl__cli_pair;

typedef struct sl__cli_parsed sl__cli_parsed;

/* Lists end with an entry whose name is NULL. In texts, `backticks` mark what is typed; texts are ASCII. */
typedef struct sl__cli_command {
    const char *name;
    const char *summary;            /* one line without a full stop */
    const char *const *description; /* paragraphs */
    const sl__cli_argument *arguments;
    const sl__cli_option *options;
    const sl__cli_pair *examples;
    const sl__cli_pair *environment;          /* variables that it reads besides its options' */
    const sl__cli_pair *exits;                /* besides 0, 1 and 2 */
    int (*run)(const sl__cli_parsed *parsed); /* the exit status */
} sl__cli_command;

#define SL__CLI_OPTIONS_MAX 16
#define SL__CLI_ARGUMENTS_MAX 4

extern const sl__cli_command *const sl__cli_commands[]; /* ends with NULL */
extern const sl__cli_option sl__cli_help_option;        /* every command has it */
extern const sl__cli_pair sl__cli_exits[];              /* those of every command */

const sl__cli_command *sl__cli_find(const char *name); /* NULL if there is none */

/* The subcommands, one file each. */
int sl__cli_init(const sl__cli_parsed *parsed);
int sl__cli_serve(const sl__cli_parsed *parsed);
int sl__cli_check(const sl__cli_parsed *parsed);
int sl__cli_run(const sl__cli_parsed *parsed);
int sl__cli_db(const sl__cli_parsed *parsed);
int sl__cli_status(const sl__cli_parsed *parsed);
int sl__cli_help(const sl__cli_parsed *parsed);
int sl__cli_version(const sl__cli_parsed *parsed);
int sl__cli_completion(const sl__cli_parsed *parsed);
