"""Devices and processes that share work by ``tf.distribute``: nothing else in the package names a strategy."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from slim2keras.errors import DistributionWarning, UnsupportedArgumentError, WorkerLostError, did_you_mean
from slim2keras.models.clusters import Cluster, cluster_of, read_cluster
from slim2keras.models.overrides import Overrides

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras
    from numpy.typing import NDArray

MIRRORED, MULTI_WORKER = "mirrored", "multi_worker"
STRATEGIES = (MIRRORED, MULTI_WORKER)

LONGEST_WAIT = 300.0
"""Seconds for the other workers to come; they read checkpoint and images only after that."""

_LOSSES = ("UnavailableError", "AbortedError", "DeadlineExceededError", "CancelledError")
"""TensorFlow's errors that a lost worker can be behind."""

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """The devices and processes that share the work of a model.

    Attributes:
        strategy: Of TensorFlow; ``None`` where there is one device in one process.
        cluster: The processes; ``None`` where there is one.
    """

    strategy: tf.distribute.Strategy | None = None
    cluster: Cluster | None = None

    @classmethod
    def of(cls, model: tf_keras.Model) -> Team:
        """That of the strategy in whose scope a model was made."""
        import tensorflow as tf

        strategy = getattr(model, "distribute_strategy", None)
        if strategy is None or not isinstance(strategy, tf.distribute.MirroredStrategy | _MultiWorker()):
            return cls()
        resolver: Any = getattr(strategy, "cluster_resolver", None)
        groups = resolver.cluster_spec().as_dict() if resolver is not None else {}
        return cls(strategy, cluster_of(groups, resolver.task_type, resolver.task_id) if groups else None)

    @property
    def workers(self) -> int:
        """Processes."""
        return 1 if self.cluster is None else len(self.cluster.addresses)

    @property
    def worker(self) -> int:
        """Number of this one."""
        return 0 if self.cluster is None else self.cluster.worker

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Devices of all processes."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def devices(self) -> int:
        """Of this process."""
        return self.replicas // self.workers

    def describe(self) -> str:
        """In words."""
        return (
            f"{self.replicas} devices in {self.workers} processes" if self.workers > 1 else f"{self.replicas} devices"
        )

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Within it a model is made that the team shares.

        Moving statistics can be read there on one device alone, where Keras' would have every worker come and
        average: ``training.model`` keeps them equal on all.
        """
        import tensorflow as tf

        if self.strategy is None:
            yield
            return
        with self.strategy.scope(), tf.variable_creator_scope(_readable_alone):
            yield

    def mapped(self, function: Callable[[Any], Any], batches: Iterable[tuple[Any, T]]) -> Iterator[tuple[Any, T, Any]]:
        """Images and rest of each batch, with what a ``tf.function`` of the images gives; a batch a device at a time.

        The function must not wait for other devices: workers may have different numbers of batches.
        """
        if self.strategy is None:
            for images, rest in batches:
                yield images, rest, function(images)
            return
        batches = iter(batches)
        while group := list(islice(batches, self.devices)):
            # Devices for which nothing is left do the last one again.
            images = [group[min(number, len(group) - 1)][0] for number in range(self.devices)]
            results = self.strategy.run(function, (self._one_for_each_device(images),))
            for number, (image, rest) in enumerate(group):
                yield image, rest, self._of_device(results, number)

    def gathered(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of all workers, those of the first one first; each must call this, with any number of rows."""
        if self.strategy is None or self.workers == 1:
            return rows
        values = self._one_for_each_device([rows] + [rows[:0]] * (self.devices - 1))
        return self.strategy.gather(values, axis=0).numpy()  # type: ignore[no-any-return]

    def in_order(self, parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Rows of all batches, where each worker has some of them: its first, and every ``workers``-th from there on.

        Args:
            parts: The rows of each batch of this worker; without any there must be an empty one that tells the type.
        """
        rows = np.concatenate(parts)
        if self.workers == 1:
            return rows
        numbers = [np.full(len(part), self.worker + turn * self.workers) for turn, part in enumerate(parts)]
        order = np.argsort(self.gathered(np.concatenate(numbers).astype(np.int64)), kind="stable")
        return self.gathered(rows)[order]

    def share_of(self, batch_size: int) -> int:
        """Images of a batch that each device gets.

        Raises:
            UnsupportedArgumentError: If they cannot be shared in equal parts.
        """
        if batch_size % self.replicas:
            raise UnsupportedArgumentError(
                f"{batch_size} images a batch cannot be shared by {self.replicas} devices in equal parts: give a "
                f"multiple, such as {-(-batch_size // self.replicas) * self.replicas}."
            )
        return batch_size // self.replicas

    def shared(self, batches: Callable[[int, int], tf.data.Dataset], batch_size: int) -> Any:
        """Batches of a step as ``fit`` takes them: each device gets its equal part.

        Args:
            batches: Makes the part of a worker, from its number and that of all, endless.
            batch_size: Images of a step, of all devices together.

        Raises:
            UnsupportedArgumentError: If they cannot be shared in equal parts.
        """
        if self.strategy is None:
            return batches(0, 1)
        share = self.share_of(batch_size)
        return self.strategy.distribute_datasets_from_function(
            lambda _: batches(self.worker, self.workers).rebatch(share)
        )

    def alone(self, model: tf_keras.Model, work: Callable[[], T]) -> T:
        """Do something with a model that no other worker does, such as to save it.

        It is done outside of the strategy's scope, which ``fit`` enters for callbacks too: a variable that is made
        within, as every Keras model makes one, waits for all workers. So does a metric that is read, of which each has
        a part; what is saved of it is this worker's.
        """
        if self.strategy is None:
            return work()
        with Overrides() as overrides, ThreadPoolExecutor(1) as thread:  # the scope is that of a thread
            for metric in model.metrics:
                overrides.set(metric, "save_own_variables", functools.partial(self._save_part, metric))
            return thread.submit(work).result()

    def _save_part(self, metric: tf_keras.metrics.Metric, store: Any) -> None:
        assert self.strategy is not None
        for number, variable in enumerate(metric.variables):
            store[f"{number}"] = self.strategy.experimental_local_results(variable)[0].numpy()

    def wait(self) -> None:
        """Until every worker is here."""
        self.gathered(np.zeros(1))

    @contextlib.contextmanager
    def losses_told(self, next_step: Callable[[], str]) -> Iterator[None]:
        """Within it a worker that is lost is told in words.

        Args:
            next_step: Tells what to do about it, a sentence.

        Raises:
            WorkerLostError: If one is.
        """
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            if self.cluster is None or type(error).__name__ not in _LOSSES:
                raise
            raise WorkerLostError(f"{self._describe_loss(error)} {next_step()}") from error

    def _describe_loss(self, error: Any) -> str:
        assert self.cluster is not None
        silent = self.cluster.silent_peers()
        who = f"{' and '.join(silent)} cannot be reached any more" if silent else "another worker does not answer"
        return (
            f"{who}: stopped, killed, or cut off (its own output says more). Worker {self.worker} of "
            f"{self.workers} cannot go on alone: {type(error).__name__}."
        )

    def _one_for_each_device(self, values: Sequence[Any]) -> Any:
        import tensorflow as tf

        assert self.strategy is not None
        first = self.worker * self.devices
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(values[context.replica_id_in_sync_group - first])
        )

    def _of_device(self, results: Any, number: int) -> Any:
        import tensorflow as tf

        assert self.strategy is not None
        local = self.strategy.experimental_local_results
        return tf.nest.map_structure(lambda value: local(value)[number], results)


def mean_over_replicas(values: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Within a step: the means of what each replica has, in one exchange for all of them."""
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if not values or replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.MEAN, list(values))  # type: ignore[no-any-return]


def open_team(strategy: str | None, *, longest_wait: float = LONGEST_WAIT) -> Team:
    """The team of a strategy by its name.

    Args:
        strategy: ``"mirrored"``: all GPUs of this machine, or the processor; ``"multi_worker"``: the processes that
            ``TF_CONFIG`` lists, who must all be started; ``None``: no other device.
        longest_wait: Seconds for the others to come.

    Raises:
        UnsupportedArgumentError: If there is no such strategy, or ``TF_CONFIG`` describes none.
        WorkerLostError: If a worker does not come.

    Warns:
        DistributionWarning: If there is one device, so that nothing is shared.
    """
    if strategy is None:
        return Team()
    if strategy not in STRATEGIES:
        hint = did_you_mean(strategy, STRATEGIES)
        raise UnsupportedArgumentError(f"strategy must be {' or '.join(STRATEGIES)}. Received: {strategy!r}.{hint}")
    if strategy == MIRRORED:
        team = Team(_mirrored())
    else:
        cluster = read_cluster()
        team = Team(_multi_worker(cluster, longest_wait), cluster)
    if team.replicas == 1:
        warnings.warn(
            f"strategy {strategy!r} has one device here, so that nothing is shared and nothing gets faster.",
            DistributionWarning,
            stacklevel=2,
        )
    return team


@functools.cache  # the collectives of two of a process get in each other's way
def _mirrored() -> tf.distribute.Strategy:
    """Of all GPUs, else of all processors: there is one, unless somebody divided it."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in found])


_OPENED: dict[Cluster, Any] = {}
"""Strategy of each cluster that this process belongs to: it listens at its port from the first time on."""


def _multi_worker(cluster: Cluster, longest_wait: float) -> tf.distribute.Strategy:
    if cluster not in _OPENED:
        _OPENED[cluster] = _come_together(cluster, longest_wait)
    return _OPENED[cluster]


def _come_together(cluster: Cluster, longest_wait: float) -> tf.distribute.Strategy:
    if missing := cluster.wait_for_peers(longest_wait):
        raise WorkerLostError(
            f"{' and '.join(missing)} did not come within {longest_wait:g} seconds to worker {cluster.worker} of "
            f"{len(cluster.addresses)}. Start all of them, with the same cluster in TF_CONFIG and an index each; is "
            "the address reachable from here?"
        )
    try:
        return _MultiWorker()()
    except Exception as error:
        raise WorkerLostError(f"The workers of TF_CONFIG do not come together: {error}") from error


def _MultiWorker() -> Any:  # noqa: N802  a class
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy


def _readable_alone(next_creator: Callable[..., Any], **options: Any) -> Any:
    import tensorflow as tf

    if (
        options.get("synchronization") is tf.VariableSynchronization.ON_READ
        and options.get("aggregation") is tf.VariableAggregation.MEAN
    ):
        options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return next_creator(**options)
