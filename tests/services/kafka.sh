# Kafka for tests/services.sh, which sources this: brokers that are controllers too (KRaft).

KAFKA_PORT=${KAFKA_PORT:-19092}
KAFKA3_PORT=${KAFKA3_PORT:-19192}

libs=$root/kafka
# Loaded classes as the JVM keeps them (AppCDS): a later start takes half the CPU.
archive=$libs/classes.jsa
# 16 bytes in base64; any will do.
cluster_id=dG9ycmVudGVkZ2UtdGVzdA
# Between a broker's port and its controller's.
controller_ahead=10

jvm() { java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$libs/*" "$@"; }

fetch_kafka() {
    local stamp
    command -v java >/dev/null || fail "Kafka needs Java 17: tests/setup.sh installs it"
    stamp=$(sha256sum <tests/services/kafka-pom.xml)
    [ "$(cat "$libs/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    command -v mvn >/dev/null || fail "Maven fetches Kafka: tests/setup.sh installs it"
    say "fetching Kafka into .cache/services/kafka"
    rm -rf "$libs"
    mvn --quiet --batch-mode -Dstyle.color=never -Dmaven.repo.local="$root/maven" -f tests/services/kafka-pom.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$libs" >&2
    rm -rf "$root/maven"
    echo "$stamp" >"$libs/stamp"
}

# write_properties SERVICE BROKER FIRST_PORT BROKERS
write_properties() {
    local service=$1 broker=$2 first=$3 brokers=$4 port voters="" in_sync=1 n
    port=$((first + broker - 1))
    for ((n = 1; n <= brokers; n++)); do
        voters+=${voters:+,}$n@127.0.0.1:$((first + n - 1 + controller_ahead))
    done
    [ "$brokers" -eq 1 ] || in_sync=2
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$broker
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + controller_ahead))
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$root/data/$service/log-$broker
default.replication.factor=$brokers
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$brokers
transaction.state.log.replication.factor=$brokers
transaction.state.log.min.isr=$in_sync
share.coordinator.state.topic.replication.factor=$brokers
share.coordinator.state.topic.min.isr=$in_sync
num.partitions=3
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
PROPERTIES
}

has_started() { grep -q 'Kafka Server started' "$root/log/$1.log"; }

# start_broker SERVICE BROKER FIRST_PORT BROKERS: begins to, unless it runs.
start_broker() {
    local service=$1 broker=$2 first=$3 brokers=$4 name=$1-$2 data=$root/data/$1 classes=()
    ! pid_of "$name" >/dev/null || return 0
    mkdir -p "$data"
    write_properties "$service" "$broker" "$first" "$brokers" >"$data/$broker.properties"
    if [ ! -e "$data/log-$broker/meta.properties" ]; then
        jvm -Xmx128m kafka.tools.StorageTool format -t "$cluster_id" -c "$data/$broker.properties" >/dev/null
    fi
    if [ -e "$archive" ]; then
        classes=("-XX:SharedArchiveFile=$archive" -Xshare:auto)
    elif [ "$broker" -eq 1 ]; then
        classes=("-XX:ArchiveClassesAtExit=$archive.new")
    fi
    launch "$name" $((first + broker - 1)) java -Xms128m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        "${classes[@]}" -Dlog4j2.configurationFile=tests/services/log4j2.properties \
        -cp "$libs/*" kafka.Kafka "$data/$broker.properties"
}

# up_brokers SERVICE FIRST_PORT BROKERS
up_brokers() {
    local service=$1 first=$2 brokers=$3 n addresses=""
    fetch_kafka
    # Those that run keep their ports, so those that are started again take theirs.
    [ ! -e "$run/$service.port" ] || first=$(cat "$run/$service.port")
    mkdir -p "$run"
    echo "$first" >"$run/$service.port"
    for ((n = 1; n <= brokers; n++)); do
        start_broker "$service" "$n" "$first" "$brokers"
        addresses+=${addresses:+,}127.0.0.1:$((first + n - 1))
    done
    for ((n = 1; n <= brokers; n++)); do await "$service-$n" has_started "$service-$n"; done
    echo "KAFKA_BROKERS=$addresses"
}

up_kafka() { up_brokers kafka "$KAFKA_PORT" 1; }
up_kafka3() { up_brokers kafka3 "$KAFKA3_PORT" 3; }

# After a broker has stopped in order, the classes that it had loaded are kept.
keep_classes() {
    [ ! -e "$archive.new" ] || mv "$archive.new" "$archive"
}
