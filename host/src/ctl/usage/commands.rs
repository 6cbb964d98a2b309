//! The commands and their options. Names are the interface: scripts use them.

use super::{Argument, Command, Count, SHELLS, Setting, Takes};

const ROLES: &[&str] = &["leader", "primary", "standby-leader", "replica", "standby", "any"];
const FORMATS: &[&str] = &["pretty", "tsv", "json", "yaml", "yml"];

const CLUSTER: Argument = Argument { key: "CLUSTER_NAME", count: Count::One, choices: &[] };
const SOME_CLUSTER: Argument = Argument { key: "CLUSTER_NAME", count: Count::AtMostOne, choices: &[] };
const CLUSTERS: Argument = Argument { key: "CLUSTER_NAMES", count: Count::Any, choices: &[] };
const KEY: Argument = Argument { key: "KEY", count: Count::One, choices: &[] };
const MEMBERS: Argument = Argument { key: "MEMBER_NAMES", count: Count::Any, choices: &[] };
const PLAN: Argument = Argument { key: "TARGET", count: Count::One, choices: &["restart", "switchover"] };

const fn flag(names: &'static [&'static str], about: &'static str) -> Setting {
    Setting { names, former: &[], takes: Takes::Nothing, about }
}

const fn text(names: &'static [&'static str], about: &'static str) -> Setting {
    Setting { names, former: &[], takes: Takes::Text, about }
}

const fn role(about: &'static str) -> Setting {
    Setting { names: &["--role", "-r"], former: &[], takes: Takes::OneOf(ROLES), about }
}

const GROUP: Setting =
    Setting { names: &["--group"], former: &[], takes: Takes::Integer, about: "Group of a Citus cluster" };
const FORCE: Setting = flag(&["--force"], "Ask for nothing");
const FORMAT: Setting =
    Setting { names: &["--format", "-f"], former: &[], takes: Takes::OneOf(FORMATS), about: "How it is printed" };
const EVERY_TWO: Setting = flag(&["-W"], "Print it again every 2 seconds");
const WATCH: Setting =
    Setting { names: &["-w", "--watch"], former: &[], takes: Takes::Float, about: "Print it again every X seconds" };
const CANDIDATE: Setting = text(&["--candidate"], "The member that takes over");

/// Options of the program itself.
pub(in crate::ctl) const GLOBAL: &[Setting] = &[
    text(&["--config-file", "-c"], "Configuration file"),
    text(&["--dcs-url", "--dcs", "-d"], "Where the store is, in place of what the file says"),
    flag(&["-k", "--insecure"], "Believe any certificate of a member"),
];

/// The commands by name.
pub(in crate::ctl) const COMMANDS: &[Command] = &[
    Command {
        name: "completions",
        about: "Print what a shell needs to complete command lines",
        arguments: &[Argument { key: "SHELL", count: Count::One, choices: SHELLS }],
        settings: &[],
    },
    Command {
        name: "config",
        about: "Explain a key of the configuration: what it means, who set it, what counts",
        arguments: &[Argument { key: "ACTION", count: Count::One, choices: &["explain"] }, KEY],
        settings: &[GROUP],
    },
    Command {
        name: "configure",
        about: "Write the file by which later commands find the store",
        arguments: &[],
        settings: &[
            text(&["--config-file", "-c"], "The file"),
            text(&["--dcs", "-d"], "Where the store is"),
            text(&["--namespace", "-n"], "Under which name clusters are in it"),
        ],
    },
    Command {
        name: "demote-cluster",
        about: "Make a cluster the standby of another one",
        arguments: &[SOME_CLUSTER],
        settings: &[
            FORCE,
            text(&["--host"], "Where the other cluster's primary listens"),
            Setting { names: &["--port"], former: &[], takes: Takes::Integer, about: "The port of the other primary" },
            text(&["--restore-command"], "Brings WAL files of the other cluster here"),
            text(&["--primary-slot-name"], "The replication slot to use on the other primary"),
        ],
    },
    Command {
        name: "doctor",
        about: "Look at the configuration, the store and every member for what is wrong",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP],
    },
    Command {
        name: "dsn",
        about: "Print where a member listens: the leader, or another one",
        arguments: &[SOME_CLUSTER],
        settings: &[role("Any member with this role"), text(&["--member", "-m"], "This member"), GROUP],
    },
    Command {
        name: "edit-config",
        about: "Change the configuration that all members share",
        arguments: &[SOME_CLUSTER],
        settings: &[
            GROUP,
            flag(&["--quiet", "-q"], "Do not show what changes"),
            text(&["--set", "-s"], "A value to set, as key=value; null removes. May be given several times"),
            text(&["--pg", "-p"], "A PostgreSQL parameter to set, as name=value. May be given several times"),
            text(&["--apply"], "A YAML file to lay over it; - for standard input"),
            text(&["--replace"], "A YAML file to put in its place; - for standard input"),
            FORCE,
        ],
    },
    Command {
        name: "failover",
        about: "Let a replica take over, whatever the leader does",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP, CANDIDATE, FORCE],
    },
    Command {
        name: "flush",
        about: "Drop what was scheduled",
        arguments: &[CLUSTER, MEMBERS, PLAN],
        settings: &[GROUP, role("Only members with this role"), FORCE],
    },
    Command {
        name: "history",
        about: "Print past failovers and switchovers",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP, FORMAT, flag(&["--explain"], "Tell for each what the members decided around it")],
    },
    Command {
        name: "list",
        about: "Print the members of clusters",
        arguments: &[CLUSTERS],
        settings: &[
            GROUP,
            flag(&["--extended", "-e"], "Print every column"),
            flag(&["--timestamp", "-t"], "Print the time first"),
            FORMAT,
            EVERY_TWO,
            WATCH,
        ],
    },
    Command {
        name: "man",
        about: "Print the manual page of the program, or of a command",
        arguments: &[Argument { key: "COMMAND", count: Count::AtMostOne, choices: &[] }],
        settings: &[],
    },
    Command {
        name: "pause",
        about: "Leave the servers alone: no automatic failover",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP, flag(&["--wait"], "Wait until all members know")],
    },
    Command {
        name: "promote-cluster",
        about: "Let a standby cluster stand on its own",
        arguments: &[SOME_CLUSTER],
        settings: &[FORCE],
    },
    Command {
        name: "query",
        about: "Ask a member's PostgreSQL",
        arguments: &[SOME_CLUSTER],
        settings: &[
            GROUP,
            text(&["--format"], "How it is printed (pretty, tsv, json, yaml)"),
            Setting { names: &["--file", "-f"], former: &[], takes: Takes::File, about: "A file with the SQL" },
            flag(&["--password"], "Ask for the password"),
            text(&["-U", "--username"], "The database user"),
            EVERY_TWO,
            WATCH,
            role("Any member with this role"),
            text(&["--member", "-m"], "This member"),
            text(&["--delimiter"], "What stands between columns"),
            text(&["--command", "-c"], "The SQL"),
            text(&["-d", "--dbname"], "The database"),
        ],
    },
    Command {
        name: "reinit",
        about: "Make replicas anew",
        arguments: &[CLUSTER, MEMBERS],
        settings: &[
            GROUP,
            FORCE,
            flag(&["--from-leader"], "Copy the leader"),
            flag(&["--wait"], "Wait until it is done"),
        ],
    },
    Command {
        name: "reload",
        about: "Let members read their configuration again",
        arguments: &[CLUSTER, MEMBERS],
        settings: &[GROUP, role("Only members with this role"), FORCE],
    },
    Command {
        name: "remove",
        about: "Remove all that the store knows of a cluster",
        arguments: &[CLUSTER],
        settings: &[GROUP, FORMAT],
    },
    Command {
        name: "restart",
        about: "Restart members' servers",
        arguments: &[CLUSTER, MEMBERS],
        settings: &[
            GROUP,
            role("Only members with this role"),
            flag(&["--any"], "Only one of them"),
            flag(&["--rolling"], "One after the other, the leader last; the next one when the last one is back"),
            text(&["--scheduled"], "When, as ISO 8601"),
            text(&["--pg-version"], "Only servers that are older than this version (e.g. 9.5.2)"),
            flag(&["--pending"], "Only servers whose settings wait for a restart"),
            text(&["--timeout"], "How long it may take before it counts as failed"),
            FORCE,
        ],
    },
    Command {
        name: "resume",
        about: "End the pause: fail over again where need be",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP, flag(&["--wait"], "Wait until all members know")],
    },
    Command {
        name: "scaffold",
        about: "Make the keys of a cluster that no daemon has started",
        arguments: &[CLUSTER],
        settings: &[text(&["--sysid", "-s"], "Its system identifier")],
    },
    Command {
        name: "show-config",
        about: "Print the configuration that all members share",
        arguments: &[SOME_CLUSTER],
        settings: &[GROUP],
    },
    Command {
        name: "switchover",
        about: "Let a replica take over from a healthy leader",
        arguments: &[SOME_CLUSTER],
        settings: &[
            GROUP,
            Setting {
                names: &["--leader", "--primary"],
                former: &["--master"],
                takes: Takes::Text,
                about: "The leader as it is now",
            },
            CANDIDATE,
            text(&["--scheduled"], "When, as ISO 8601"),
            FORCE,
        ],
    },
    Command {
        name: "topology",
        about: "Print who replicates from whom",
        arguments: &[CLUSTERS],
        settings: &[GROUP, EVERY_TWO, WATCH],
    },
    Command {
        name: "version",
        about: "Print our version, or those of members",
        arguments: &[SOME_CLUSTER, MEMBERS],
        settings: &[GROUP],
    },
    Command {
        name: "why",
        about: "Print what members decided lately, by which rule and why",
        arguments: &[SOME_CLUSTER, MEMBERS],
        settings: &[
            FORMAT,
            Setting {
                names: &["--last", "-n"],
                former: &[],
                takes: Takes::Integer,
                about: "How many decisions of each member",
            },
        ],
    },
];
