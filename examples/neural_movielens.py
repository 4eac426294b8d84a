from crossfm import DeepFMClassifier
from crossfm.datasets import load
from crossfm.metrics import auc

data = load("movielens-100k")  # fetched once, checked, cached
table = data.ratings.to_pandas().merge(data.users.to_pandas()).merge(data.items.to_pandas())
table = table.sample(frac=1, random_state=0)
X = table[["user_id", "item_id", "age", "gender", "occupation", "genres"]]
clicked = table.rating >= 4

model = DeepFMClassifier(l2_V=3e-4, dropout=0.3, early_stopping=True, random_state=0)
model.fit(X[:80_000], clicked[:80_000])
print(f"AUC {auc(clicked[80_000:], model.predict_proba(X[80_000:])[:, 1]):.3f}")
