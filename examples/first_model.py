from crossfm import FMClassifier, load

clicks = {
    "user": ["ann", "bob", "ann", "cec", "bob", "cec", "ann", "bob"] * 20,
    "film": ["alien", "alien", "brazil", "brazil", "casino", "casino", "casino", "brazil"] * 20,
    "hour": [20, 21, 9, 10, 22, 8, 23, 11] * 20,
}
clicked = [1, 0, 0, 1, 1, 0, 1, 1] * 20

model = FMClassifier(n_factors=8, max_iter=20, random_state=0).fit(clicks, clicked)
print(model.predict_proba({"user": ["ann"], "film": ["alien"], "hour": [20]}))

parts = model.explain({"user": ["ann"], "film": ["alien"], "hour": [20]})
print(parts.row(0))  # bias, columns and pairs of columns; they add up to the score

model.save("model.crossfm")
assert load("model.crossfm").predict(clicks).tolist() == model.predict(clicks).tolist()
