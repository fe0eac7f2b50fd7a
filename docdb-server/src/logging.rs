//! The log: to stderr, as text or JSON.

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogFormat, LogLevel, LogOptions};

/// Starts logging for this process. A second call changes nothing.
pub fn init(options: LogOptions) {
    let level = match options.log_level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        // A line that cannot be written is lost. Complaining on stderr, which is what failed, would
        // panic in whoever logged: the task that waits for signals, or one that serves a client.
        .log_internal_errors(false)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    // An error says that a subscriber is set already, which then is the one to use.
    let _ = match options.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
