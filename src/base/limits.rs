//! Every bound of the broker in one place, with the relations between them proved at compile time.

/// Bytes of a direct-I/O block: position, length and memory of every file access are multiples of it.
/// Physical block size of today's devices, whatever smaller size they report.
pub const BLOCK_BYTES: usize = 4096;

/// Default of `socket.request.max.bytes`: a longer frame closes the connection before any buffer is taken.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes of a string: what the length of the oldest encoding can say.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Tagged fields in one structure; the schemas know fewer than 10, the rest is room for later versions.
pub const TAGGED_FIELDS_MAX: usize = 1024;

/// Bytes of memory that the elements of one request's arrays may take once decoded. Elements of a few bytes on the wire
/// become structures of 30 to 100, and those answers of as many again: without a bound a frame of 100 MiB would take
/// gigabytes. It is room for 50,000 partitions in one Fetch and 130,000 in one Produce.
pub const DECODED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one topic setting's value.
pub const CONFIG_VALUE_BYTES_MAX: usize = 4096;

/// Records of the metadata that one request may lead to (Kafka: 10,000; `QuorumController.MAX_RECORDS_PER_USER_OP`).
pub const RECORDS_PER_PROPOSAL_MAX: usize = 10_000;

/// Leaders that are moved to where they are preferred at a time: each move makes its clients look for the leader.
pub const LEADERS_MOVED_AT_ONCE_MAX: usize = 100;

/// Topics that one Metadata request creates; a client that names more gets the others when it asks again.
pub const AUTO_CREATED_PER_REQUEST_MAX: usize = 1000;

/// Voters of the coordinators' quorum: more than seven cost more than their loss would.
pub const VOTERS_MAX: usize = 7;

/// How long a node that is to become a voter has to catch up with the metadata's log, in milliseconds. Clients wait for
/// it, 30 seconds by default.
pub const VOTER_JOIN_MS: i32 = 10_000;

/// Bytes of committed entries in one answer to a node that follows the metadata, about.
pub const FOLLOWED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shards in one process.
pub const SHARDS_MAX: u16 = 256;

/// Requests of one connection that may be in flight before its reader pauses.
pub const PIPELINE_MAX: usize = 64;

/// Calls to one other node over one connection that may wait for their answers before callers are refused.
pub const PEER_CALLS_MAX: usize = 256;

/// Requests of one connection of another node that may be worked on before its reader pauses.
pub const PEER_PIPELINE_MAX: usize = 64;

/// Client connections on one shard.
pub const CONNECTIONS_PER_SHARD_MAX: usize = 32 * 1024;

/// Messages to one other shard that may wait in this one's outbox before callers are refused.
pub const MESH_OUTBOX_MAX: usize = 64 * 1024;

/// Partitions of one topic at creation.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;

/// Characters of a topic name (Kafka's own limit).
pub const TOPIC_NAME_MAX: usize = 249;

/// Batches that a producer's state remembers per partition for duplicate detection (Kafka: 5).
pub const PRODUCER_BATCHES_KEPT: usize = 5;

/// Producers of one partition of which it is remembered that their first batch was turned away.
pub const TURNED_AWAY_MAX: usize = 10_000;

/// Bytes of the v2 record batch header.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of one batch's records once decompressed: what a frame could have carried as it is. A megabyte of zstd may
/// decompress to gigabytes, and a shard that decompresses serves nobody else.
pub const DECOMPRESSED_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Decompressed bytes that one step of a walk over a batch looks at, before others get their turn.
pub const STEP_BYTES: usize = 64 * 1024;

/// Records that the answer to a refused batch names one by one; the client needs some, not a million.
pub const RECORD_ERRORS_MAX: usize = 1000;

/// Bytes that decompressing one batch takes at a time: zstd's window, which its author chooses and RFC 8878 asks every
/// decoder to support up to here, or one snappy block, which can only be decompressed as a whole.
pub const DECOMPRESS_MEMORY_MAX: usize = 8 * 1024 * 1024;

/// The largest window that zstd data may ask for, as a power of two: what Kafka's clients use at their highest levels,
/// and the most that other decoders take.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Look-ups of timestamps that one shard does at the same time: each may take `DECOMPRESS_MEMORY_MAX`.
pub const LOOKUPS_AT_ONCE_MAX: usize = 2;

/// Bytes of one segment header block, before the first batch.
pub const SEGMENT_HEADER_BYTES: usize = BLOCK_BYTES;

/// Bytes of one tail-cache chunk at most; also the most that one file write carries.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one read from a file at most: reads beyond the device's `max_sectors` were seen to hang.
pub const READ_BYTES_MAX: usize = 512 * 1024;

/// Reads of one segment that are under way at once for one reader, and segments that are read at once for one fetch: as
/// many as keep a device busy.
pub const READS_AT_ONCE_MAX: usize = 4;

/// Fetch sessions (KIP-227) kept by one shard (`max.incremental.fetch.session.cache.slots`).
pub const FETCH_SESSIONS_PER_SHARD_MAX: usize = 1000;

/// Bytes that the fetch sessions of one shard may take: what they remember is what clients told them. It is room for
/// 35,000 partitions; a client beyond gets no session, and its fetches name all partitions.
pub const FETCH_SESSION_BYTES_PER_SHARD_MAX: usize = 8 * 1024 * 1024;

/// Keys whose coordinators one request may ask for: each is answered with an address.
pub const COORDINATOR_KEYS_MAX: usize = 10_000;

/// Members of one group, and ids of members to come that it has handed out (`group.max.size` may lower it).
pub const GROUP_MEMBERS_MAX: usize = 10_000;

/// Bytes of one group's members with all that they say of themselves; its record has to fit into a batch in the end.
pub const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that a member takes besides its texts.
pub const GROUP_MEMBER_OVERHEAD_BYTES: usize = 512;

/// Groups of one partition of `__consumer_offsets`.
pub const GROUPS_PER_COORDINATOR_MAX: usize = 100_000;

/// Bytes of all groups of one partition of `__consumer_offsets`.
pub const COORDINATOR_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Committed offsets in one partition of `__consumer_offsets`.
pub const OFFSETS_PER_COORDINATOR_MAX: usize = 1_000_000;

/// Rebalances of one group that are remembered.
pub const REBALANCES_KEPT_MAX: usize = 16;

/// Causes of one rebalance that are told one by one.
pub const CAUSES_KEPT_MAX: usize = 8;

/// Partitions moved by one rebalance that are told one by one.
pub const MOVES_KEPT_MAX: usize = 32;

/// Samples of where a partition's end was when: 1 KiB.
pub const COURSE_SAMPLES_MAX: usize = 64;

/// Partitions of groups whose lag is among the metrics.
pub const LAG_SERIES_MAX: usize = 10_000;

/// Groups of one coordinator whose rebalances are remembered.
pub const CHRONICLES_MAX: usize = 4096;

/// Transactional ids of one partition of `__transaction_state`.
pub const TRANSACTIONAL_IDS_PER_COORDINATOR_MAX: usize = 200_000;

/// Bytes of all transactions of one partition of `__transaction_state`.
pub const TRANSACTION_BYTES_PER_COORDINATOR_MAX: usize = 128 * 1024 * 1024;

/// Requests that wait for one transaction to be over; those beyond are told to ask again.
pub const WAITING_PER_TRANSACTION_MAX: usize = 64;

/// Times that a marker is tried again for a partition that nobody knows, before it counts as deleted.
pub const MARKER_RETRIES_OF_UNKNOWN_MAX: u32 = 20;

/// Batches of one producer that wait in a partition for the word of their transaction's coordinator.
pub const PARKED_PER_PRODUCER_MAX: usize = PIPELINE_MAX;

const _: () = assert!(GROUP_BYTES_MAX < COORDINATOR_BYTES_MAX);
const _: () = assert!(GROUP_MEMBERS_MAX * GROUP_MEMBER_OVERHEAD_BYTES < GROUP_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES.is_power_of_two());
const _: () = assert!(CHUNK_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(BATCH_HEADER_BYTES < BLOCK_BYTES);
const _: () = assert!(FRAME_BYTES_MAX < i32::MAX as usize);
const _: () =
    assert!(DECOMPRESS_MEMORY_MAX.is_power_of_two() && DECOMPRESS_MEMORY_MAX <= DECOMPRESSED_BYTES_MAX);
const _: () = assert!(STRING_BYTES_MAX <= i16::MAX as usize);
const _: () = assert!(TOPIC_NAME_MAX <= STRING_BYTES_MAX);
const _: () = assert!(CONFIG_VALUE_BYTES_MAX <= STRING_BYTES_MAX);
