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

/// Shards in one process.
pub const SHARDS_MAX: u16 = 256;

/// Requests of one connection that may be in flight before its reader pauses.
pub const PIPELINE_MAX: usize = 64;

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

/// Bytes of the v2 record batch header.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes of one batch's records once decompressed: what a frame could have carried as it is. A megabyte of zstd may
/// decompress to gigabytes, and a shard that decompresses serves nobody else.
pub const DECOMPRESSED_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Records that the answer to a refused batch names one by one; the client needs some, not a million.
pub const RECORD_ERRORS_MAX: usize = 1000;

/// Bytes of one segment header block, before the first batch.
pub const SEGMENT_HEADER_BYTES: usize = BLOCK_BYTES;

/// Bytes of one tail-cache chunk at most; also the most that one file write carries.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of one read from a file at most: reads beyond the device's `max_sectors` were seen to hang.
pub const READ_BYTES_MAX: usize = 512 * 1024;

/// Fetch sessions (KIP-227) kept by one shard (`max.incremental.fetch.session.cache.slots`).
pub const FETCH_SESSIONS_PER_SHARD_MAX: usize = 1000;

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

const _: () = assert!(GROUP_BYTES_MAX < COORDINATOR_BYTES_MAX);
const _: () = assert!(GROUP_MEMBERS_MAX * GROUP_MEMBER_OVERHEAD_BYTES < GROUP_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES.is_power_of_two());
const _: () = assert!(CHUNK_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(SEGMENT_HEADER_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(BATCH_HEADER_BYTES < BLOCK_BYTES);
const _: () = assert!(FRAME_BYTES_MAX < i32::MAX as usize);
const _: () = assert!(STRING_BYTES_MAX <= i16::MAX as usize);
const _: () = assert!(TOPIC_NAME_MAX <= STRING_BYTES_MAX);
