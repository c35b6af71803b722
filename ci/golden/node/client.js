// kafkajs, made to send what it can: client.js ADDRESS FOLDER_OF_node_modules
const { createRequire } = require('module')
const { Kafka, logLevel, CompressionTypes } = createRequire(process.argv[3] + '/')('kafkajs')

const kafka = new Kafka({ clientId: 'golden', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const topic = 'kafkajs-topic'
const messages = [0, 1, 2, 3, 4].map(n => ({ key: `key ${n}`, value: `value ${n}`, headers: { header: 'x' } }))

// A refusal is an answer too, and it is recorded.
async function attempt(what, call) {
  try {
    await call()
  } catch (error) {
    console.error(`   ${what}: ${error}`)
  }
}

async function consume() {
  const consumer = kafka.consumer({ groupId: 'golden-kafkajs' })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let read = 0
  await new Promise((resolve, reject) => {
    setTimeout(resolve, 15000)
    consumer.run({ eachMessage: async () => { if (++read === messages.length) resolve() } }).catch(reject)
  })
  await consumer.disconnect()
}

async function transact() {
  const producer = kafka.producer({ transactionalId: 'golden-kafkajs', idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages })
  await transaction.commit()
  await producer.disconnect()
}

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  await attempt('create', () => admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }))
  const producer = kafka.producer()
  await producer.connect()
  await attempt('produce', () => producer.send({ topic, messages, compression: CompressionTypes.GZIP }))
  await producer.disconnect()
  await attempt('consume', consume)
  await attempt('transact', transact)
  await attempt('offsets', () => admin.fetchTopicOffsets(topic))
  await attempt('group offsets', () => admin.fetchOffsets({ groupId: 'golden-kafkajs', topics: [topic] }))
  await attempt('configs', () => admin.describeConfigs({ resources: [{ type: 2, name: topic }] }))
  await attempt('alter', () => admin.alterConfigs({
    resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '86400000' }] }],
  }))
  await attempt('grow', () => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
  await attempt('groups', () => admin.listGroups())
  await attempt('group', () => admin.describeGroups(['golden-kafkajs']))
  await attempt('cluster', () => admin.describeCluster())
  await attempt('records', () => admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1' }] }))
  await attempt('delete group', () => admin.deleteGroups(['golden-kafkajs']))
  await attempt('delete', () => admin.deleteTopics({ topics: [topic] }))
  await admin.disconnect()
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
