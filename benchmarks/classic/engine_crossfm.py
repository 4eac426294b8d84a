"""crossfm: FM, AdaGrad; learning rate and initial scale are the best of a short search, as for the peers."""

from __future__ import annotations

from adapter import Answer, Job, as_csr, main


def engine(job: Job) -> Answer:
    """One epoch; the estimator's history has its seconds."""
    from crossfm import FMClassifier

    settings = {
        "n_factors": job.factors,
        "solver": "adagrad",
        "learning_rate": 0.04,
        "init_scale": 0.03,
        "max_iter": 1,
        "n_threads": 1,
    }
    ids, y = job.rows("train")
    model = FMClassifier(**settings, random_state=job.seed).fit(as_csr(ids), y)
    seconds = [epoch["seconds"] for epoch in model.history_]
    return Answer(seconds, "its history", model.predict_proba(as_csr(job.rows("test")[0]))[:, 1], settings)


if __name__ == "__main__":
    main("crossfm", engine)
