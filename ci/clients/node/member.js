// A member of a group as kafkajs has it: member.js FOLDER_OF_node_modules ADDRESS TOPIC GROUP
// What it prints and how it is ended is told in ci/clients/member.py.
const { createRequire } = require('module')
const { Kafka, logLevel, PartitionAssigners } = createRequire(process.argv[2] + '/')('kafkajs')
const [address, topic, groupId] = process.argv.slice(3)

const say = (...words) => process.stdout.write(words.join(' ') + '\n')

// kafkajs's strategy under the name that others have for the same: a group needs one that all its members know.
function roundrobin(context) {
  const assigner = PartitionAssigners.roundRobin(context)
  const protocol = asked => ({ ...assigner.protocol(asked), name: 'roundrobin' })
  return { ...assigner, name: 'roundrobin', protocol }
}

async function main() {
  const retry = { retries: 100, initialRetryTime: 100, maxRetryTime: 1000 }
  const kafka = new Kafka({ clientId: 'member', brokers: [address], logLevel: logLevel.NOTHING, retry })
  const consumer = kafka.consumer({
    groupId, retry, sessionTimeout: 6000, heartbeatInterval: 1000, maxWaitTimeInMs: 200, partitionAssigners: [roundrobin],
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => say('own', ...(payload.memberAssignment[topic] || [])))
  consumer.on(consumer.events.REBALANCING, () => say('own'))
  consumer.on(consumer.events.CRASH, ({ payload }) => say('own') && say('crash', payload.error))
  process.on('SIGTERM', () => consumer.disconnect().then(() => process.exit(0)))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
      for (const { offset, value } of batch.messages) {
        say('read', batch.partition, offset, value.toString())
        resolveOffset(offset)
      }
      const offset = String(BigInt(batch.lastOffset()) + 1n)
      await consumer.commitOffsets([{ topic, partition: batch.partition, offset }])
      await heartbeat()
    },
  })
}

main().catch(error => { console.error(error); process.exit(1) })
