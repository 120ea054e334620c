//! Which of Kafka's errors means what.

use event_log::EventLogError;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// The code of an error, if it has one.
pub(crate) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        // The library's own function leaves these out.
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Whether it may work in a moment: a broker that died, a partition that changes its leader, a topic that
/// not all brokers know yet.
pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::DestroyBroker
            | Code::BrokerDestroy
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::PreferredLeaderNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::WaitingForCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::UnstableOffsetCommit
            | Code::KafkaStorageError
            | Code::ThrottlingQuotaExceeded
            | Code::Retry
    )
}

/// As the event log says it. Names codes and keys of the configuration, never values: one is the password.
pub(crate) fn refusal(error: &KafkaError) -> EventLogError {
    match (code(error), error) {
        (Some(code), _) => of_code(code),
        (None, KafkaError::ClientConfig(_, why, key, _)) => {
            EventLogError::Invalid(format!("Kafka's setting {key}: {why}"))
        }
        (None, KafkaError::ClientCreation(_)) => {
            EventLogError::Invalid("Kafka's client does not accept its settings".to_owned())
        }
        (None, KafkaError::Nul(_)) => EventLogError::Invalid("a name with a zero byte".to_owned()),
        (None, other) => EventLogError::Unavailable(format!("Kafka: {other}")),
    }
}

/// As [`refusal`], for an error that is only a code.
pub(crate) fn of_code(code: Code) -> EventLogError {
    match code {
        Code::QueueFull => EventLogError::Full("records wait for Kafka".to_owned()),
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidTimestamp
        | Code::InvalidRecord
        | Code::InvalidTopic
        | Code::InvalidGroupId
        | Code::InvalidPartitions
        | Code::InvalidConfig
        | Code::InvalidReplicationFactor
        | Code::PolicyViolation => EventLogError::Invalid(format!("Kafka: {code}")),
        _ => EventLogError::Unavailable(format!("Kafka: {code}")),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn a_value_of_the_configuration_is_not_shown() {
        let error = KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "invalid".to_owned(),
            "sasl.password".to_owned(),
            "hunter2".to_owned(),
        );
        let refused = refusal(&error);
        assert_eq!(
            refused,
            EventLogError::Invalid("Kafka's setting sasl.password: invalid".to_owned())
        );
    }

    #[test]
    fn a_dead_broker_is_transient_and_a_wrong_password_is_not() {
        assert!(is_transient(Code::BrokerTransportFailure));
        assert!(!is_transient(Code::SaslAuthenticationFailed));
        assert!(matches!(
            of_code(Code::BrokerTransportFailure),
            EventLogError::Unavailable(why) if why.contains("transport failure")
        ));
    }
}
