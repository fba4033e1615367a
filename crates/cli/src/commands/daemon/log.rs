//! The daemon's log, on standard error: text for the journal or a terminal, or JSON.

use std::fmt;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use daemon::config::{Config, Format, Log};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, reload};

/// Changes what is logged while the daemon runs.
pub(super) struct Filter(Box<dyn Fn(EnvFilter)>);

impl Filter {
    pub(super) fn set(&self, config: &Config) {
        // It was judged when the configuration was read.
        if let Ok(filter) = EnvFilter::try_new(&config.log.level) {
            (self.0)(filter);
        }
    }
}

/// Begins to log.
pub(super) fn start(log: &Log) -> anyhow::Result<Filter> {
    let filter = EnvFilter::try_new(&log.level).with_context(|| format!("log.level `{}`", log.level))?;
    let (filter, handle) = reload::Layer::new(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.format {
        Format::Json => {
            layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
        Format::Text if std::env::var_os("JOURNAL_STREAM").is_some() => {
            layer.with_ansi(false).event_format(Journal).boxed()
        }
        Format::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(Filter(Box::new(move |filter| {
        // It fails only when the subscriber is gone, and then there is no log.
        let _ = handle.reload(filter);
    })))
}

/// A line for systemd's journal, which knows the time: its priority (sd-daemon(3)), then the message and its fields.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
