/* commands.c: the table of the subcommands. What it says is what `silver help` prints and what the parser
 * accepts. */
#include "cli/commands.h"
#include "run/run.h"

static const sl__cli_argument directory_argument[] = {
    {"DIR", "the application's directory, the one with app.ini in it; the current one by default",
     .optional = true, .offer = SL__OFFER_DIRECTORIES},
    {0},
};

const sl__cli_option sl__cli_help_option = {"help", 'h', .help = "Say what the command does"};

const sl__cli_pair sl__cli_exits[] = {
    {"0", "done"},
    {"1", "failed; the message says what was wrong and what to do"},
    {"2", "the command line was not understood; nothing was done"},
    {0},
};

/* ---- init ---------------------------------------------------------------------------------------------- */

static const sl__cli_command init_command = {
    .name = "init",
    .summary = "Lay out a small application that works",
    .description =
        (const char *const[]){
            "Makes DIR with a small guest book written in C: its manifest app.ini, its code in src/, a "
            "template, a style sheet, a test, and a README that says what each of them is for. It runs "
            "as it is; change it into what you need.",
            "With --runner wsgi it is a guest book in Python, with --runner asgi a place to talk over "
            "WebSockets. Both need no package besides Python, and have a virtualenv venv/ for those that "
            "you install.",
            "DIR must not exist yet, or be empty: no file of yours is ever written over. The "
            "application takes its name from DIR.",
            NULL,
        },
    .arguments =
        (const sl__cli_argument[]){
            {"DIR", "the directory to make; letters, digits, `-` and `_` in its name",
             .offer = SL__OFFER_DIRECTORIES},
            {0},
        },
    .options =
        (const sl__cli_option[]){
            {"runner", 'r', "KIND", "What runs it: c, wsgi or asgi", .fallback = "c"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver init hello", "make an application in ./hello"},
            {"silver init --runner wsgi hello", "the same in Python"},
            {"silver serve hello", "and see it at http://127.0.0.1:8080"},
            {0},
        },
    .run = sl__cli_init,
};

/* ---- serve --------------------------------------------------------------------------------------------- */

static const sl__cli_command serve_command = {
    .name = "serve",
    .summary = "Serve an application",
    .description =
        (const char *const[]){
            "Compiles the application in DIR if it has changed, takes the first free slot of its "
            "manifest, and serves it there. Prints one line with the URL when it is ready.",
            "Ctrl-C lets the requests that are being answered finish, and ends with status 0; a second "
            "Ctrl-C ends at once. Started twice, it takes the next slot; when none is free it says who "
            "holds them and ends with status 75.",
            "While you work, a file that changes is compiled and the new code takes over when it is "
            "ready; a mistake in it is shown in the browser. With --production neither happens, and "
            "failures show an incident's number instead of their inside.",
            "Signals: TERM and INT drain and end, HUP opens the log files anew (and with --production "
            "replaces each instance by a new one), USR2 writes the tree of tasks to the log.",
            NULL,
        },
    .arguments = directory_argument,
    .options =
        (const sl__cli_option[]){
            {"listen", 'l', "ADDRESS:PORT",
             "Where to listen; port 0 picks a free one, unix:/PATH is a socket file",
             .fallback = "the slot's address, or 127.0.0.1:8080", .environment = "SILVER_LISTEN"},
            {"slot", 's', "N", "The slot to take, by its number in the manifest, 0 to 63",
             .fallback = "the first that is free", .number = true, .max = RUN_SLOTS_MAX - 1},
            {"instances", 'n', "N", "Processes that share the address; one that crashes is started again",
             .fallback = "1", .number = true, .min = 1, .max = RUN_INSTANCES_MAX},
            {"logfile", 'f', "NAME", "The log file's name in the slot's log directory",
             .fallback = "the standard error; with --daemon the application's name",
             .offer = SL__OFFER_FILES},
            {"daemon", 'd',
             .help = "Return when the server is ready, and leave it running in the background"},
            {"pidfile", 'p', "FILE", "Write the process's number into FILE, and remove it at the end",
             .offer = SL__OFFER_FILES},
            {"production", 'P', .help = "No reloading, and no inside of failures in responses"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver serve", "serve the application in this directory"},
            {"silver serve apps/chat --listen 127.0.0.1:0", "on a port that is free"},
            {"silver serve --production --daemon --instances 2", "two processes, in the background"},
            {0},
        },
    .environment =
        (const sl__cli_pair[]){
            {"CC", "the C compiler; `cc` by default"},
            {"XDG_CACHE_HOME", "compiled applications are kept in its directory silver; ~/.cache by default"},
            {"CONFIG_...", "what the application reads with sl_config"},
            {0},
        },
    .exits =
        (const sl__cli_pair[]){
            {"75", "every slot is taken; the message says by whom"},
            {0},
        },
    .run = sl__cli_serve,
};

/* ---- check --------------------------------------------------------------------------------------------- */

static const sl__cli_command check_command = {
    .name = "check",
    .summary = "Find an application's mistakes without serving it",
    .description =
        (const char *const[]){
            "Reads the manifest, looks at the directory's layout, parses the templates, compiles "
            "the application, and looks at the patches of schema/. Each complaint names file and line and "
            "says what to do. Ends with status 0 "
            "when there is "
            "nothing to complain about.",
            NULL,
        },
    .arguments = directory_argument,
    .options =
        (const sl__cli_option[]){
            {"json", 'j', .help = "Print the complaints as JSON, for editors and scripts"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver check", "check the application in this directory"},
            {"silver check --json apps/chat", "the same for a program to read"},
            {0},
        },
    .run = sl__cli_check,
};

/* ---- run ----------------------------------------------------------------------------------------------- */

static const sl__cli_command running_command = {
    .name = "run",
    .summary = "Run a command of an application",
    .description =
        (const char *const[]){
            "Runs a script of the application's bin/, or a command that the application or one of its "
            "plug-ins "
            "has. A script runs with the environment that the application is given, so it finds the same "
            "database; a Python script also finds the application's virtualenv, lib/python and modules. A "
            "command runs inside the application, which is started as for serving, but listens nowhere.",
            "Both work in the application's directory; OLDPWD is where you called. Without COMMAND, lists "
            "what "
            "there is.",
            NULL,
        },
    .arguments =
        (const sl__cli_argument[]){
            {"DIR", "the application's directory, the one with app.ini in it; the current one by default",
             .optional = true, .offer = SL__OFFER_DIRECTORIES},
            {"COMMAND", "the command's name, and all that is for it, options too", .optional = true,
             .rest = true},
            {0},
        },
    .options =
        (const sl__cli_option[]){
            {"production", 'P', .help = "Start the application as `silver serve --production` does"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver run .", "list the commands of the application in this directory"},
            {"silver run . reindex --all", "run one of them, with an option of its own"},
            {"silver run apps/blog manage.py migrate", "run the script bin/manage.py"},
            {0},
        },
    .environment =
        (const sl__cli_pair[]){
            {"CONFIG_...", "services that are given already; the others are made as for `silver serve`"},
            {0},
        },
    .exits =
        (const sl__cli_pair[]){
            {"N", "what the command returns"},
            {0},
        },
    .run = sl__cli_run,
};

/* ---- db ------------------------------------------------------------------------------------------------ */

static const sl__cli_command db_command = {
    .name = "db",
    .summary = "Look at an application's database",
    .description =
        (const char *const[]){
            "Opens the shell of the application's database, sqlite3 or psql, on the database that the "
            "application is given. An application's own PostgreSQL runs as long as the shell.",
            "With the word `schema` it prints, as SQL, the tables that the application's models want, the "
            "patches "
            "that are missing, and what makes the database what it should be; what cannot be told, such as a "
            "column "
            "that was renamed, is a comment. It changes nothing: put what it prints into a patch, a file "
            "schema/NNN-what-it-does.sql, and `silver run DIR migrate` applies it. It ends with status 0 "
            "where "
            "nothing differs and with 1 where something does.",
            NULL,
        },
    .arguments =
        (const sl__cli_argument[]){
            {"schema", "print what the models want, and the difference", .optional = true},
            {"DIR", "the application's directory, the one with app.ini in it; the current one by default",
             .optional = true, .offer = SL__OFFER_DIRECTORIES},
            {0},
        },
    .options =
        (const sl__cli_option[]){
            {"store", 's', "NAME", "Which database: sqlite, postgres, or NAME of `service.sqlite.NAME`",
             .fallback = "the only one; of `schema`, all"},
            {"json", 'j', .help = "With `schema`: print all that is known as one JSON object"},
            {"difference", 'd', .help = "With `schema`: print only the SQL of the difference, for a patch"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver db apps/chat", "open the database's shell"},
            {"silver db schema", "what the models want, and what is different"},
            {"silver db schema --difference", "only the SQL that the next patch is made of"},
            {"silver db schema --json apps/chat", "the same for a program to read"},
            {0},
        },
    .environment =
        (const sl__cli_pair[]){
            {"CONFIG_...", "databases that are given already; the others are made as for `silver serve`"},
            {0},
        },
    .exits =
        (const sl__cli_pair[]){
            {"N", "of the shell: what it ends with"},
            {0},
        },
    .run = sl__cli_db,
};

/* ---- status -------------------------------------------------------------------------------------------- */

static const sl__cli_command status_command = {
    .name = "status",
    .summary = "Say what runs of an application",
    .description =
        (const char *const[]){
            "Asks every `silver serve` of the application, of this user on this machine, and prints its slot "
            "and "
            "address, its instances with their age, memory and requests, and their services with what their "
            "calls and children do.",
            NULL,
        },
    .arguments = directory_argument,
    .options =
        (const sl__cli_option[]){
            {"json", 'j', .help = "Print all that is known as one JSON object"},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver status", "what runs of the application in this directory"},
            {"silver status --json apps/chat", "the same for a program to read"},
            {0},
        },
    .exits =
        (const sl__cli_pair[]){
            {"3", "it is not running"},
            {0},
        },
    .run = sl__cli_status,
};

/* ---- help, version, completion ------------------------------------------------------------------------- */

static const sl__cli_command help_command = {
    .name = "help",
    .summary = "Say what silver can do",
    .description =
        (const char *const[]){
            "Without COMMAND, lists the commands. With it, tells all about that one: the same as "
            "`silver COMMAND --help`.",
            NULL,
        },
    .arguments =
        (const sl__cli_argument[]){
            {"COMMAND", "the command to tell about", .optional = true, .offer = SL__OFFER_COMMANDS},
            {0},
        },
    .options =
        (const sl__cli_option[]){
            {"man", .help = "Print the manual page's source instead", .hidden = true},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"silver help serve", "tell about `silver serve`"},
            {0},
        },
    .run = sl__cli_help,
};

static const sl__cli_command version_command = {
    .name = "version",
    .summary = "Print the version",
    .description =
        (const char *const[]){
            "Prints the name and the version, which is that of libsilver too.",
            NULL,
        },
    .run = sl__cli_version,
};

static const sl__cli_command completion_command = {
    .name = "completion",
    .summary = "Print a script that completes silver's words in a shell",
    .description =
        (const char *const[]){
            "Prints a script for bash or zsh. `make install` puts both where the shells look for them; "
            "without that, let your shell read it when it starts.",
            NULL,
        },
    .arguments =
        (const sl__cli_argument[]){
            {"SHELL", "bash or zsh", .offer = SL__OFFER_SHELLS},
            {0},
        },
    .examples =
        (const sl__cli_pair[]){
            {"source <(silver completion bash)", "in ~/.bashrc"},
            {"source <(silver completion zsh)", "in ~/.zshrc, after compinit"},
            {0},
        },
    .run = sl__cli_completion,
};

const sl__cli_command *const sl__cli_commands[] = {
    &init_command,  &serve_command, &status_command,  &running_command,    &db_command,
    &check_command, &help_command,  &version_command, &completion_command, NULL,
};

const sl__cli_command *sl__cli_find(const char *name)
{
    for (size_t i = 0; sl__cli_commands[i]; i++) {
        if (strcmp(sl__cli_commands[i]->name, name) == 0)
            return sl__cli_commands[i];
    }
    return NULL;
}
