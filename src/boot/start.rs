//! `ringlog start`: one process, from its configuration to its last flush.

use super::cli::ConfigFlags;
use super::data_dir::DataDir;
use super::{memory, pages, say, sources};
use crate::api::NodeInfo;
use crate::base::{BrokerEpoch, NodeId, ShardId};
use crate::conf::{BrokerConf, FlushScopeChoice};
use crate::metrics::Registry;
use crate::rt::{Desk, FILE_MEMORY_BYTES, Guests, Listeners, Mesh, RtConf, SocketStream, Stop, World};
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
    /// Under which epoch the broker was closed in good order, if it was.
    clean_epoch: Option<BrokerEpoch>,
    /// For clients, if this process serves any.
    clients: Option<Listeners>,
    /// For the other nodes of the cluster, if there are any.
    peers: Option<Listeners>,
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
    /// Everything is written; under which epoch the broker was registered.
    Clean(Option<BrokerEpoch>),
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
    let conf = BrokerConf::check(sources::layers(flags), memory::ram_bytes())?;
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
    let (clients, peers) = doors(&conf, shards)?;
    let mut rt = RtConf::new(shards, data_dir.path.clone());
    rt.spin = conf.spin;
    rt.spin_lone = conf.spin_lone;
    let metrics = Registry::new(shards);
    rt.metrics = Some(metrics.clone());
    let memory = conf.memory.append_bytes + conf.memory.tail_cache_bytes;
    rt.file_memory_bytes = memory / usize::from(shards) + FILE_MEMORY_BYTES;
    rt.touch_ahead = true;
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
        clean_epoch: data_dir.clean_epoch,
        was_clean: data_dir.was_clean || data_dir.is_new,
        clients,
        peers,
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
    if ends.iter().all(|end| matches!(end, End::Clean(_))) {
        let epoch = ends.iter().find_map(|end| if let End::Clean(epoch) = end { *epoch } else { None });
        let marked = data_dir.mark_clean(epoch);
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

/// The sockets that this process listens on: for clients, for peers.
fn doors(conf: &BrokerConf, shards: u16) -> Result<(Option<Listeners>, Option<Listeners>), String> {
    let open = |key: &str, address: &str, guests| bind(resolve(key, address)?, shards, guests);
    let clients = conf.cluster.roles.broker.then(|| open("listen", &conf.net.listen, Guests::Clients));
    let peers = conf.cluster.peer_listen.as_deref().map(|it| open("peer.listen", it, Guests::Peers));
    Ok((clients.transpose()?, peers.transpose()?))
}

/// Binds, with patience: what a process that was killed left in its rings may outlive it by some milliseconds.
#[expect(clippy::disallowed_methods, reason = "no shard runs yet that a sleep could hold up")]
fn bind(address: std::net::SocketAddr, shards: u16, guests: Guests) -> Result<Listeners, String> {
    let mut tries = BIND_TRIES;
    loop {
        tries -= 1;
        match Listeners::bind(address, shards, guests) {
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
        peer: peer_address(plan).into(),
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
        clean_epoch: plan.clean_epoch,
        tables: plan.metrics.of(usize::from(id.0)).clone(),
    })
}

/// HOST and PORT that clients are told; a port that was left to the system is known by now.
fn advertised(plan: &Plan) -> (&str, u16) {
    let (host, port) = plan.conf.advertised();
    (host, port_of(port, plan.clients.as_ref()))
}

/// HOST:PORT that other nodes are told; empty where there are none.
fn peer_address(plan: &Plan) -> String {
    let told = &plan.conf.cluster.peer_advertised;
    match told.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => format!("{host}:{}", port_of(port, plan.peers.as_ref())),
        None => String::new(),
    }
}

fn port_of(configured: u16, listeners: Option<&Listeners>) -> u16 {
    let bound = listeners.filter(|_| configured == 0).map(|listeners| listeners.local_addr().port());
    bound.unwrap_or(configured)
}

async fn serve(plan: &Arc<Plan>, id: ShardId, world: &World, shard: Shard<Machine>) -> Result<End, String> {
    let refusal = Refusal::default();
    if let Some(peers) = &plan.peers {
        // From the start: it takes other nodes to get ready.
        let (shard, spawning) = (shard.clone(), world.clone());
        let on_stream = move |stream| spawning.spawn(shard.clone().serve_peer(stream));
        world.spawn(accept(plan.clone(), peers.clone(), world.clone(), (|| (), on_stream), refusal.clone()));
    }
    shard.start().await?;
    let told = shard.clone();
    world.answer_inquiries(&plan.desk, move |question| pages::tell(&told, question));
    let ready = async {
        // Without a broker in it, a process has nothing to get ready.
        if plan.clients.is_some() {
            shard.ready().await;
        }
        true
    };
    let stopped = async {
        world.stopping().await;
        false
    };
    if !or(ready, stopped).await {
        return refusal.take().map_or(Ok(End::Early), Err);
    }
    match &plan.clients {
        Some(clients) => {
            let (serving, spawning, announced) = (shard.clone(), world.clone(), plan.clone());
            let on_open = move || announce_once(&announced, id);
            let on_stream = move |stream| spawning.spawn(serving.clone().serve(stream));
            let doors = (on_open, on_stream);
            world.spawn(accept(plan.clone(), clients.clone(), world.clone(), doors, refusal.clone()));
        }
        None => announce_once(plan, id),
    }
    world.stopping().await;
    shard.hand_over(plan.conf.drain_timeout).await;
    let clean = shard.close(plan.conf.drain_timeout).await;
    match refusal.take() {
        Some(refusal) => Err(refusal),
        None if clean => Ok(End::Clean(shard.broker_epoch())),
        None => Ok(End::Unclean),
    }
}

/// Why the process can't go on, if so.
type Refusal = Rc<Cell<Option<String>>>;

/// Accepts connections until the shard ends; where the address can't be listened on, nobody needs the process.
async fn accept(
    plan: Arc<Plan>,
    listeners: Listeners,
    world: World,
    (on_open, on_stream): (impl Fn(), impl Fn(SocketStream)),
    refusal: Refusal,
) {
    if let Err(error) = listeners.serve(&world, on_open, on_stream).await {
        refusal.set(Some(error.to_string()));
        plan.stop.request();
    }
}

fn announce_once(plan: &Plan, id: ShardId) {
    if id == ShardId(0) {
        announce(plan);
    }
}

fn announce(plan: &Plan) {
    let conf = &plan.conf;
    let shards = plan.shards;
    let restart = if plan.was_clean { "" } else { " (after an unclean stop: logs were scanned)" };
    let mut text = format!(
        "ringlog {} node {} of cluster {}{restart}\n  {shards} shard(s), durability {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        conf.node_id,
        plan.cluster_id,
        conf.layers.value("durability").0,
        conf.data_dir,
    );
    if plan.peers.is_some() {
        let voter = conf.cluster.is_voter(NodeId(conf.node_id));
        let role = match (voter, conf.cluster.roles.coordinator) {
            (true, _) => "one of the coordinators",
            (false, true) => "may be added to the coordinators",
            (false, false) => "no coordinator; those are",
        };
        let voters = conf.layers.value("coordinator.voters").0;
        text.push_str(&format!("\n  peers: {}; {role} {voters}", peer_address(plan)));
    }
    if plan.clients.is_some() {
        let (host, port) = advertised(plan);
        text.push_str(&format!("\n  clients: bootstrap server {host}:{port}, e.g. kcat -b {host}:{port} -L"));
    }
    say(&text);
}
