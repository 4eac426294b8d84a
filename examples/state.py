from crossfm.serving.store import Event, Store

with Store("sqlite:///crossfm.db") as store:
    store.put_user("ann", {"age": 34, "city": "Oslo"})
    click = Event("ann", "film7", "click", key="phone-17")  # the client's own name for it
    numbers = store.add_events([click, Event("ann", "film9", "rating", 4.5)])  # durable when this returns
    assert store.add_events([click]) == numbers[:1]  # sent again: stored once

    known = store.known("ann", limit=50)
    print(known.features, [past.item for past in known.history])

    store.delete_user("ann")
    print(store.known("ann").history, store.is_forgotten("ann"))
    print(store.export("events.parquet"), store.counts())
