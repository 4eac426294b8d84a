from crossfm import Recommender
from crossfm.data.split import time_split
from crossfm.datasets import load
from crossfm.recommender.evaluate import evaluate

movies = load("movielens-100k")  # fetched once, checked, cached
before, after = time_split(movies.ratings["timestamp"], 0.2)
train, test = movies.ratings.take(before), movies.ratings.take(after)

model = Recommender(time="timestamp", half_life=14).fit(train, users=movies.users, items=movies.items)
print(model.recommend([196, 405], n=5).to_pandas())

report = evaluate(model, test)  # full ranking, beside popularity, with intervals
for system in ("fm", "popularity", "recent popularity"):
    print(system, report.value(system, "ndcg@20"))
