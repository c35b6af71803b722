//! `ringlog start`: one process, from its configuration to its last flush.

use super::cli::ConfigFlags;
use super::data_dir::DataDir;
use super::{pages, say, sources};
use crate::api::NodeInfo;
use crate::base::ShardId;
use crate::conf::{BrokerConf, FlushScopeChoice};
use crate::metrics::Registry;
use crate::rt::{Desk, FILE_MEMORY_BYTES, Listeners, Mesh, RtConf, Stop, World};
use crate::seam::{FlushScope, World as _};
use crate::shard::{Broker, Message, Setup, Shard};
use futures_lite::future::or;
use std::cell::Cell;
use std::io::IsTerminal;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// How often, and how far apart, an address in use is tried.
const BIND_TRIES: u32 = 10;
const BIND_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// The broker on this machine's runtime.
struct Machine;

impl Broker for Machine {
    type World = World;
    type Mesh = Mesh<Message>;
}

/// What every shard's thread gets to build its shard from.
struct Plan {
    conf: BrokerConf,
    data_dir: PathBuf,
    cluster_id: String,
    listeners: Listeners,
    /// Counted before the shards were pinned, each of which sees one processor.
    shards: u16,
    metrics: Registry,
    /// Where shards answer operators.
    desk: Desk,
    was_clean: bool,
    /// Ends all shards.
    stop: Stop,
}

/// How a shard ended.
enum End {
    /// Everything is written.
    Clean,
    /// Something isn't: the next start has to look.
    Unclean,
    /// It was asked to stop before it had started.
    Early,
}

/// Starts a broker and runs it until it is asked to stop.
///
/// # Errors
/// What to tell the operator.
pub fn start(flags: &ConfigFlags) -> Result<(), Vec<String>> {
    log_to_stderr();
    let conf = BrokerConf::check(sources::layers(flags), sources::ram_bytes())?;
    run(conf).map_err(|problem| vec![problem])
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RINGLOG_LOG").unwrap_or_else(|_| "info".into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // A second subscriber in one process (tests) is refused; the first one stays.
    let _ = lines.try_init();
}

fn run(conf: BrokerConf) -> Result<(), String> {
    let data_dir = DataDir::open(
        std::path::Path::new(&conf.data_dir),
        conf.node_id,
        conf.cluster_id.as_deref(),
        sources::entropy(),
    )?;
    let shards = shard_count(&conf);
    let address = resolve("listen", &conf.net.listen)?;
    let listeners = bind(address, shards)?;
    let mut rt = RtConf::new(shards, data_dir.path.clone());
    rt.spin = conf.spin;
    let metrics = Registry::new(shards);
    rt.metrics = Some(metrics.clone());
    let memory = conf.memory.append_bytes + conf.memory.tail_cache_bytes;
    rt.file_memory_bytes = memory / usize::from(shards) + FILE_MEMORY_BYTES;
    // The runtime sees only what is being sent; requests wait when all answers reach their bound.
    rt.send_bytes_max = conf.memory.answer_bytes / usize::from(shards) / 4;
    rt.signals = true;
    rt.flush_scope = match conf.flush_scope {
        FlushScopeChoice::Auto => None,
        FlushScopeChoice::Device => Some(FlushScope::Device),
        FlushScopeChoice::File => Some(FlushScope::File),
    };
    let desk = pages::serve(&data_dir.path, conf.net.metrics_listen.as_deref(), &metrics)?;
    let plan = Arc::new(Plan {
        data_dir: PathBuf::from("."),
        cluster_id: data_dir.identity.cluster_id.clone(),
        was_clean: data_dir.was_clean || data_dir.is_new,
        listeners,
        shards,
        stop: rt.stop.clone(),
        metrics,
        desk,
        conf,
    });
    let shard_main = {
        let plan = plan.clone();
        move |shard, world, mesh| run_shard(plan.clone(), shard, world, mesh)
    };
    let ends = crate::rt::run(&rt, shard_main).map_err(|error| error.to_string())?;
    let ends = ends.into_iter().collect::<Result<Vec<End>, String>>()?;
    if ends.iter().all(|end| matches!(end, End::Clean)) {
        let marked = data_dir.mark_clean();
        marked.map_err(|error| format!("the clean-shutdown marker can't be written: {error}"))?;
        say("stopped; everything is written");
    } else if ends.iter().any(|end| matches!(end, End::Early)) {
        say("stopped before it had started");
    } else {
        say("stopped; the next start scans the logs");
    }
    Ok(())
}

fn shard_count(conf: &BrokerConf) -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match conf.shards {
        0 => u16::try_from(cores).unwrap_or(u16::MAX).min(crate::base::limits::SHARDS_MAX),
        shards => shards,
    }
}

/// Binds, with patience: what a process that was killed left in its rings may outlive it by some milliseconds.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet that a sleep could hold up")]
fn bind(address: std::net::SocketAddr, shards: u16) -> Result<Listeners, String> {
    let mut tries = BIND_TRIES;
    loop {
        tries -= 1;
        match Listeners::bind(address, shards) {
            Ok(listeners) => return Ok(listeners),
            Err(error) if error.error.kind() == std::io::ErrorKind::AddrInUse && tries > 0 => {
                std::thread::sleep(BIND_PAUSE);
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

pub(super) fn resolve(key: &str, address: &str) -> Result<std::net::SocketAddr, String> {
    let mut found = address.to_socket_addrs().map_err(|error| format!("{key} = {address}: {error}"))?;
    found.next().ok_or_else(|| format!("{key} = {address}: no such address"))
}

/// A shard's whole life. If it fails, the others end as well: they would wait for it.
async fn run_shard(plan: Arc<Plan>, id: ShardId, world: World, mesh: Mesh<Message>) -> Result<End, String> {
    let shard = make_shard(&plan, id, &world, mesh);
    let end = serve(&plan, id, &world, shard).await;
    if end.is_err() {
        plan.stop.request();
    }
    end
}

fn make_shard(plan: &Plan, id: ShardId, world: &World, mesh: Mesh<Message>) -> Shard<Machine> {
    let conf = &plan.conf;
    let (host, port) = advertised(plan);
    let node = NodeInfo {
        id: conf.node_id,
        host: host.into(),
        port,
        rack: conf.rack.as_deref().map(Into::into),
        log_dir: conf.data_dir.as_str().into(),
        space: Cell::new((-1, -1)),
    };
    Shard::new(Setup {
        world: world.clone(),
        mesh,
        conf: Rc::new(conf.clone()),
        node,
        data_dir: plan.data_dir.clone(),
        cluster_id: plan.cluster_id.clone(),
        tables: plan.metrics.of(usize::from(id.0)).clone(),
    })
}

/// HOST and PORT that clients are told; a port that was left to the system is known by now.
fn advertised(plan: &Plan) -> (&str, u16) {
    let (host, port) = plan.conf.advertised();
    (host, if port == 0 { plan.listeners.local_addr().port() } else { port })
}

async fn serve(plan: &Arc<Plan>, id: ShardId, world: &World, shard: Shard<Machine>) -> Result<End, String> {
    shard.start().await?;
    let ready = async {
        shard.ready().await;
        true
    };
    let stopped = async {
        world.stopping().await;
        false
    };
    if !or(ready, stopped).await {
        return Ok(End::Early);
    }
    let told = shard.clone();
    world.answer_inquiries(&plan.desk, move |question| pages::tell(&told, question));
    let refusal = Rc::new(Cell::new(None));
    world.spawn(accept(plan.clone(), id, world.clone(), shard.clone(), refusal.clone()));
    world.stopping().await;
    let clean = shard.close(plan.conf.drain_timeout).await;
    match refusal.take() {
        Some(refusal) => Err(refusal),
        None if clean => Ok(End::Clean),
        None => Ok(End::Unclean),
    }
}

/// Accepts clients until the shard ends; where the address can't be listened on, nobody needs the broker.
async fn accept(
    plan: Arc<Plan>,
    id: ShardId,
    world: World,
    shard: Shard<Machine>,
    refusal: Rc<Cell<Option<String>>>,
) {
    let on_open = || {
        if id == ShardId(0) {
            announce(&plan, advertised(&plan));
        }
    };
    let on_stream = |stream| world.spawn(shard.clone().serve(stream));
    if let Err(error) = plan.listeners.serve(&world, on_open, on_stream).await {
        refusal.set(Some(error.to_string()));
        plan.stop.request();
    }
}

fn announce(plan: &Plan, (host, port): (&str, u16)) {
    let conf = &plan.conf;
    let shards = plan.shards;
    let restart = if plan.was_clean { "" } else { " (after an unclean stop: logs were scanned)" };
    say(&format!(
        "ringlog {} node {} of cluster {}{restart}\n  {shards} shard(s), durability {}, data in {}\n  \
         clients: bootstrap server {host}:{port}, e.g. kcat -b {host}:{port} -L",
        env!("CARGO_PKG_VERSION"),
        conf.node_id,
        plan.cluster_id,
        conf.layers.value("durability").0,
        conf.data_dir,
    ));
}
