"""Evaluation of predictions against gold labels.

Rows without a gold label are counted separately; rows without an answer count against the model.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from batchframe._base.errors import ColumnError, format_list, format_row, plain_scalar
from batchframe._display import Card, CardRepr, Table, decimals, percent, plural, shortened
from batchframe._evaluation.labels import (
    Codes,
    Labels,
    by_name,
    column_of,
    name_for_none,
    read_frame,
    read_labels,
    together,
)
from batchframe._evaluation.measures import cohens_kappa, share, wilson

STATUS: Final = "bf_status"
_SHOWN: Final = 12


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation(CardRepr):
    """Accuracy of predictions against gold labels.

    Attributes
    ----------
    truth, predicted
        Compared columns.
    rows
        Number of rows in the frame: `no_truth` + `answered` + `unanswered`.
    no_truth
        Number of rows without a gold label; no other count includes them.
    answered
        Number of rows with a gold label and an answer.
    unanswered
        Number of rows with a gold label and no answer.
    reasons
        Number of unanswered rows by status ("failed", "skipped", …); "no value" if the status is
        missing or ``ok``.
    confusion
        Number of rows by gold label (rows) and prediction (columns); the last column counts rows
        without an answer. Categories that do not occur are included.
    disagreements
        Rows with a wrong answer, with all columns of the frame.
    notes
        Limitations of these figures.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"gold": ["a", "a", "b", "b"], "label": ["a", "b", "b", None]})
    >>> evaluation = bf.evaluate(frame, truth="gold", predicted="label")
    >>> evaluation.confusion
    label  a  b  no answer
    gold
    a      1  1          0
    b      0  1          1
    >>> round(evaluation.accuracy, 3), evaluation.accuracy_of_all
    (0.667, 0.5)
    """

    truth: Hashable
    predicted: Hashable
    rows: int
    no_truth: int
    answered: int
    unanswered: int
    reasons: Mapping[str, int]
    confusion: pd.DataFrame
    disagreements: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def correct(self) -> int:
        """Number of rows whose answer equals the gold label."""
        return int(np.trace(self._answers))

    @property
    def accuracy(self) -> float:
        """Fraction of correct answers among the answered rows; NaN without any."""
        return share(self.correct, self.answered)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95% interval of `accuracy`: lower and upper bound (Wilson 1927).

        It assumes independent rows; duplicates make it too narrow.
        """
        return wilson(self.correct, self.answered)

    @property
    def accuracy_of_all(self) -> float:
        """Fraction of correct answers among all rows with a gold label."""
        return share(self.correct, self.answered + self.unanswered)

    @property
    def accuracy_of_all_interval(self) -> tuple[float, float]:
        """95% interval of `accuracy_of_all`: lower and upper bound (Wilson 1927)."""
        return wilson(self.correct, self.answered + self.unanswered)

    @property
    def kappa(self) -> float:
        """Cohen's kappa over the answered rows: 1 is perfect, 0 is chance (1960).

        NaN if all gold labels and predictions are the same label.
        """
        return cohens_kappa(self._answers)

    @property
    def per_class(self) -> pd.DataFrame:
        """Precision, recall, F1 and support, with one row per label.

        ``precision`` is the fraction of correct answers among the rows predicted to have the label;
        ``recall`` the fraction of correct answers among the rows with this gold label, answered or
        not; ``f1`` their harmonic mean (van Rijsbergen, "Information Retrieval", 1979); ``support``
        the number of rows with this gold label; ``predicted`` the number of predictions of it. A
        division by zero gives NaN. To leave out unanswered rows, evaluate
        ``df[df["bf_status"] == "ok"]``.
        """
        right = np.diag(self._answers)
        support = self.confusion.to_numpy().sum(axis=1)
        predicted = self._answers.sum(axis=0)
        return pd.DataFrame(
            {
                "precision": _shares(right, predicted),
                "recall": _shares(right, support),
                "f1": _shares(2 * right, support + predicted),
                "support": support,
                "predicted": predicted,
            },
            index=self.confusion.index,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the figures as a one-row DataFrame, to compare models.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"gold": [1, 2], "small": [1, 1], "large": [1, 2]})
        >>> both = [bf.evaluate(frame, truth="gold", predicted=name) for name in ("small", "large")]
        >>> pd.concat([each.to_frame() for each in both])[["answered", "correct", "accuracy"]]
               answered  correct  accuracy
        small         2        1       0.5
        large         2        2       1.0
        """
        counts = ("rows", "no_truth", "answered", "unanswered", "correct")
        figures = {name: getattr(self, name) for name in counts}
        for name in ("accuracy", "accuracy_of_all"):
            low, high = getattr(self, f"{name}_interval")
            figures |= {name: getattr(self, name), f"{name}_low": low, f"{name}_high": high}
        figures["kappa"] = self.kappa
        return pd.DataFrame([figures], index=pd.Index([self.predicted], tupleize_cols=False))

    @property
    def _answers(self) -> Codes:
        """Confusion matrix without the column of unanswered rows."""
        return np.asarray(self.confusion.to_numpy()[:, :-1], dtype=np.int64)

    def _card(self) -> Card:
        right = f"{self.correct:,} of {plural(self.answered, 'answer')} right"
        return Card(
            title=f"{self.predicted} against {self.truth}: {right}",
            facts=(
                ("rows", self._row_words()),
                ("accuracy", self._accuracy_words()),
                ("Cohen's kappa", decimals(self.kappa)),
            ),
            table=_class_table(self.per_class),
            notes=self.notes,
            next_step="evaluation.disagreements" if len(self.disagreements) else None,
        )

    def _row_words(self) -> str:
        why = ", ".join(f"{number:,} {reason}" for reason, number in self.reasons.items())
        parts = [f"{self.answered:,} answered"]
        parts += [f"{self.unanswered:,} unanswered ({why})"] if self.unanswered else []
        parts += [f"{self.no_truth:,} without a gold label"] if self.no_truth else []
        return f"{self.rows:,}: {', '.join(parts)}"

    def _accuracy_words(self) -> str:
        of_answered = _percent(self.accuracy, self.accuracy_interval)
        if not self.unanswered:
            return of_answered
        of_all = _percent(self.accuracy_of_all, self.accuracy_of_all_interval)
        return f"{of_answered} of the answered\n{of_all} of all with a gold label"


def _percent(value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{percent(value)} (95% interval: {percent(low)} to {percent(high)})"


def _shares(part: Codes, whole: Codes) -> npt.NDArray[np.float64]:
    undefined = np.full(len(part), np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=whole > 0))


def _class_table(per_class: pd.DataFrame) -> Table:
    """Return the table of all labels, or of those with the lowest F1."""
    table, caption = per_class, "by label"
    if len(per_class) > _SHOWN:
        table = per_class.sort_values("f1", kind="stable").head(_SHOWN)
        caption = f"the {_SHOWN} of {len(per_class)} labels with the lowest F1"
    rows = tuple(
        (
            shortened(str(label)),
            *(decimals(getattr(row, name)) for name in ("precision", "recall", "f1")),
            f"{row.support:,}",
        )
        for label, row in zip(table.index, table.itertuples(index=False), strict=True)
    )
    return Table(caption, ("", "precision", "recall", "F1", "support"), rows)


@by_name('truth="gold", predicted="label"')
def evaluate(
    frame: Any,
    *,
    truth: Hashable,
    predicted: Hashable,
    status: Hashable | None = STATUS,
) -> Evaluation:
    """Evaluate predictions against gold labels.

    No row is dropped silently: rows without a gold label are counted separately, rows without an
    answer are counted by status, and accuracy is reported for the answered rows and for all rows.

    Parameters
    ----------
    frame
        Frame with both columns, such as ``df.bf.join(job)``, of any library that `join` accepts; it
        is not modified.
    truth
        Column of gold labels: strings, integers, booleans or categories. Rows with a missing value
        are not evaluated.
    predicted
        Column of predictions. A missing value counts as no answer.
    status
        Column with the reason for a missing answer. The default is the status column that `join`
        wrote with the predictions: ``bf_status``, or ``second_bf_status`` for ``second_label``. If
        there is no such column, or for None, only missing values count as no answer.

    Raises
    ------
    ColumnError
        If a column is missing or a duplicate; if predictions and gold labels can never be equal,
        such as strings and numbers; if there are more than 1,000 labels; if a row has a prediction
        although its status is not ``ok``.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({
    ...     "text": ["Great!", "Broke.", "Fine.", "?"],
    ...     "gold": ["good", "bad", "good", "bad"],
    ...     "label": pd.Categorical(["good", "bad", "bad", None], ["good", "bad", "mixed"]),
    ...     "bf_status": ["ok", "ok", "ok", "refused"],
    ... })
    >>> frame.bf.evaluate(truth="gold", predicted="label")
    label against gold: 2 of 3 answers right
      rows           4: 3 answered, 1 unanswered (1 refused)
      accuracy       66.7% (95% interval: 20.8% to 93.9%) of the answered
                     50.0% (95% interval: 15.0% to 85.0%) of all with a gold label
      Cohen's kappa  0.40
    <BLANKLINE>
      by label
             precision  recall         F1  support
      good        1.00    0.50       0.67        2
      bad         0.50    0.50       0.50        2
      mixed  undefined  undefined  undefined    0
    <BLANKLINE>
      Recall counts rows without an answer as wrong.
    <BLANKLINE>
      next  evaluation.disagreements
    >>> evaluate(frame, truth="gold", predicted="label").disagreements["text"].tolist()
    ['Fine.']
    """
    frame = read_frame("evaluate", frame)
    gold, predictions = read_labels(frame, truth), read_labels(frame, predicted)
    if truth == predicted:
        raise ColumnError.compared_with_itself(truth)
    # The categories of the predictions come first, in the order of the output schema.
    labels, (answers, truths) = together([predictions, gold])
    reasons = _reasons(frame, answers, predicted, _status_of(frame, predicted, status))
    labeled, answered = truths >= 0, answers >= 0
    both, lacking = labeled & answered, labeled & ~answered
    why = reasons[lacking].value_counts()
    return Evaluation(
        truth=truth,
        predicted=predicted,
        rows=len(frame),
        no_truth=int((~labeled).sum()),
        answered=int(both.sum()),
        unanswered=int(lacking.sum()),
        reasons={str(word): int(number) for word, number in why.items()},
        confusion=_confusion(labels, truths, answers, (truth, predicted)),
        disagreements=frame[both & (answers != truths)].copy(),
        notes=_notes(int(lacking.sum()), truths[labeled], predictions, gold, labels),
    )


def _status_of(frame: pd.DataFrame, predicted: Hashable, status: Hashable | None) -> pd.Series:
    """Return the status column of the predictions; missing values without one."""
    if status == STATUS:
        # join(prefix="second_") adds the prefix to both columns; the longest match wins.
        name = str(predicted[0] if isinstance(predicted, tuple) else predicted)
        tops = {str(label[0] if isinstance(label, tuple) else label) for label in frame.columns}
        prefixes = [top.removesuffix(STATUS) for top in tops if top.endswith(STATUS)]
        matches = [prefix for prefix in prefixes if name.startswith(prefix)]
        status = max(matches, key=len) + STATUS if matches else None
    if status is None:
        return pd.Series(pd.NA, index=frame.index, dtype="string")
    return column_of(frame, status).astype("string")


def _reasons(
    frame: pd.DataFrame, answers: Codes, predicted: Hashable, status: pd.Series
) -> pd.Series:
    """Return the reason for a missing answer, for each row."""
    not_ok = status.ne("ok").fillna(value=status.notna().any()).to_numpy(dtype=bool)
    invalid = np.flatnonzero((answers >= 0) & not_ok)
    if len(invalid):
        at = int(invalid[0])
        word = status.fillna("no status").iloc[at]
        predicted, status.name = plain_scalar(predicted), plain_scalar(status.name)
        raise ColumnError(
            f"Column {predicted!r}: {plural(len(invalid), 'row')} with a value although "
            f"{status.name!r} is not 'ok' (first: {format_row(at, frame.index[at])}, {word!r}). "
            'Fix: evaluate before fillna(), or pass status="NAME" or status=None.'
        )
    return status.mask(status.eq("ok")).fillna("no value")


def _confusion(
    labels: tuple[Hashable, ...], truths: Codes, answers: Codes, names: tuple[Hashable, Hashable]
) -> pd.DataFrame:
    size, labeled = len(labels), truths >= 0
    # A missing answer has the code −1; the last column counts it.
    across = np.where(answers >= 0, answers, size)
    cells = np.bincount((truths * (size + 1) + across)[labeled], minlength=size * (size + 1))
    truth, predicted = names
    return pd.DataFrame(
        cells.reshape(size, size + 1),
        index=pd.Index(list(labels), name=truth, tupleize_cols=False),
        columns=pd.Index(
            [*labels, name_for_none(labels)], dtype=object, name=predicted, tupleize_cols=False
        ),
    )


def _notes(
    unanswered: int,
    truths: Codes,
    predictions: Labels,
    gold: Labels,
    labels: tuple[Hashable, ...],
) -> tuple[str, ...]:
    notes = ["Recall counts rows without an answer as wrong."] if unanswered else []
    if predictions.is_category:
        possible = set(predictions.levels)
        impossible = [label for label in labels if label not in possible]
        # These labels come after the possible ones.
        rows = np.bincount(truths, minlength=len(labels))[len(labels) - len(impossible) :]
        names = [label for label, number in zip(impossible, rows, strict=True) if number]
        if names:
            notes.append(
                f"{plural(int(rows.sum()), 'row')} cannot be right: {predictions.name} does not "
                f"have the categories {format_list(names)} of {gold.name}."
            )
    return tuple(notes)
