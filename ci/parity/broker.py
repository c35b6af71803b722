"""What the cases see of a broker: calls that survive a closed connection, topics of this run, batches to produce."""
import client

CLOSED = "the connection is closed"
CASES = []


def case(function):
    """Enters a case: a generator of (label, answer) over a broker."""
    CASES.append((function.__name__, function))
    return function


class Broker:
    def __init__(self, address, schemas, run):
        self.address, self.schemas, self.run = address, schemas, run
        self.connection = None

    def connect(self, client_id="parity"):
        return client.Connection(self.address, self.schemas, client_id)

    def call(self, api, version, /, **value):
        """The answer as a dictionary, or CLOSED."""
        if self.connection is None:
            self.connection = self.connect()
        try:
            return self.connection.call(api, version, **value)
        except client.Closed:
            self.connection.close()
            self.connection = None
            return CLOSED

    def name(self, stem):
        return f"{stem}-{self.run}"

    def topic(self, stem, partitions=1, **configs):
        """Creates a topic of this run and waits until it can be written; its name."""
        name = self.name(stem)
        configs = [{"Name": key.replace("_", "."), "Value": value} for key, value in configs.items()]
        topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": configs}
        answer = self.call("CreateTopics", 7, Topics=[topic], timeoutMs=15000)
        if answer["Topics"][0]["ErrorCode"]:
            raise RuntimeError(f"{name}: {answer}")
        self.wait_for(name, partitions)
        return name

    def wait_for(self, name, partitions=1):
        """Apache Kafka answers CreateTopics before its brokers lead the partitions."""
        for partition in range(partitions):
            while self.end_offset(name, partition) is None:
                pass

    def end_offset(self, topic, partition=0, timestamp=-1):
        answer = self.list_offsets(topic, timestamp, partition=partition)
        return None if answer["ErrorCode"] else answer["Offset"]

    def list_offsets(self, topic, timestamp, version=11, partition=0, isolation=0, epoch=-1):
        asked = {"PartitionIndex": partition, "Timestamp": timestamp, "CurrentLeaderEpoch": epoch}
        topics = [{"Name": topic, "Partitions": [asked]}]
        answer = self.call("ListOffsets", version, ReplicaId=-1, IsolationLevel=isolation, Topics=topics)
        return answer if answer == CLOSED else answer["Topics"][0]["Partitions"][0]

    def topic_id(self, name):
        answer = self.call("Metadata", 12, Topics=[{"Name": name}], AllowAutoTopicCreation=False)
        return answer["Topics"][0]["TopicId"]

    def produce(self, topic, records, version=9, acks=-1, partition=0, transaction=None):
        """The answer for one partition."""
        data = {"PartitionData": [{"Index": partition, "Records": records}]}
        if version >= 13:
            data["TopicId"] = topic if len(topic) == 36 and topic.count("-") == 4 else self.topic_id(topic)
        else:
            data["Name"] = topic
        answer = self.call(
            "Produce", version, TransactionalId=transaction, Acks=acks, TimeoutMs=5000, TopicData=[data]
        )
        return answer if answer == CLOSED else answer["Responses"][0]["PartitionResponses"][0]

    def fetch_request(self, wants, version=12, max_wait=200, min_bytes=1, max_bytes=1 << 20, **more):
        """A fetch of (topic, partition, offset) or dictionaries."""
        topics = []
        for topic, partition, offset, *rest in wants:
            fields = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
            fields |= rest[0] if rest else {}
            key = "TopicId" if version >= 13 else "Topic"
            if topics and topics[-1][key] == topic:
                topics[-1]["Partitions"].append(fields)
            else:
                topics.append({key: topic, "Partitions": [fields]})
        fields = {"MaxWaitMs": max_wait, "MinBytes": min_bytes, "MaxBytes": max_bytes, "SessionEpoch": -1}
        return {**fields, "Topics": topics, **more}

    def fetch(self, wants, version=12, **more):
        """The whole answer, with the records' bytes as a length."""
        answer = self.call("Fetch", version, **self.fetch_request(wants, version, **more))
        if answer != CLOSED:
            for topic in answer["Responses"]:
                for partition in topic["Partitions"]:
                    partition["Records"] = None if partition["Records"] is None else len(partition["Records"])
        return answer

    def configs(self, resource_type, name, keys=None, version=4, synonyms=True, docs=False):
        resource = {"ResourceType": resource_type, "ResourceName": name, "ConfigurationKeys": keys}
        answer = self.call(
            "DescribeConfigs", version, Resources=[resource], IncludeSynonyms=synonyms, IncludeDocumentation=docs
        )
        return answer if answer == CLOSED else answer["Results"][0]

    def alter(self, resource_type, name, *changes, validate_only=False, version=1):
        """Incremental changes of (key, operation, value)."""
        configs = [{"Name": key, "ConfigOperation": op, "Value": value} for key, op, value in changes]
        resource = {"ResourceType": resource_type, "ResourceName": name, "Configs": configs}
        answer = self.call("IncrementalAlterConfigs", version, Resources=[resource], ValidateOnly=validate_only)
        return answer if answer == CLOSED else answer["Responses"][0]
