//! Which method and first path segment mean what. The router follows this table, the early answers to health checks
//! leave alone what it names, and a test holds the description of the API against it.

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The status document.
    Status,
    /// The cluster, member by member.
    Cluster,
    /// The history of timelines.
    History,
    /// The dynamic configuration.
    Configuration,
    /// Figures for Prometheus.
    Metrics,
    /// The members that failsafe mode asks.
    FailsafeMembers,
    /// The last decisions.
    Journal,
    /// The description of this API.
    Description,
    /// The page for people, and what it reads.
    Dashboard,
    /// What the page does beyond the API: a look at credentials, and calls handed on to other members.
    DashboardAction,
    /// Merges into the dynamic configuration.
    MergeConfiguration,
    /// Replaces it.
    ReplaceConfiguration,
    /// Restarts the server.
    Restart,
    /// Forgets the scheduled restart.
    CancelRestart,
    /// Makes this member anew.
    Reinitialize,
    /// Reads the configuration again.
    Reload,
    /// Hands over to a named member.
    Failover,
    /// Hands over from a named leader.
    Switchover,
    /// Forgets the scheduled switchover.
    CancelSwitchover,
    /// A leader without the store asks whether it may go on.
    Failsafe,
    /// Accepted, without effect.
    Sigterm,
    /// Workers of a distributed database tell what they are about to do.
    Worker,
    /// The same, which asks for no credentials.
    AnyWorker,
}

/// The table. Health checks are not in it: GET of anything else is one, and so is every HEAD and OPTIONS.
pub(super) const ROUTES: [(&str, &str, Route); 23] = [
    ("GET", "patroni", Route::Status),
    ("GET", "cluster", Route::Cluster),
    ("GET", "history", Route::History),
    ("GET", "config", Route::Configuration),
    ("GET", "metrics", Route::Metrics),
    ("GET", "failsafe", Route::FailsafeMembers),
    ("GET", "journal", Route::Journal),
    ("GET", "openapi.json", Route::Description),
    ("GET", "dashboard", Route::Dashboard),
    ("POST", "dashboard", Route::DashboardAction),
    ("PATCH", "config", Route::MergeConfiguration),
    ("PUT", "config", Route::ReplaceConfiguration),
    ("POST", "restart", Route::Restart),
    ("DELETE", "restart", Route::CancelRestart),
    ("POST", "reinitialize", Route::Reinitialize),
    ("POST", "reload", Route::Reload),
    ("POST", "failover", Route::Failover),
    ("POST", "switchover", Route::Switchover),
    ("DELETE", "switchover", Route::CancelSwitchover),
    ("POST", "failsafe", Route::Failsafe),
    ("POST", "sigterm", Route::Sigterm),
    ("POST", "citus", Route::Worker),
    ("POST", "mpp", Route::AnyWorker),
];

/// What this method on this segment is for; `None`: a health check, or nothing at all.
pub(super) fn route(method: &str, segment: &str) -> Option<Route> {
    ROUTES.iter().find(|(of, named, _)| *of == method && *named == segment).map(|(_, _, route)| *route)
}
