from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from crossfm import NFMClassifier

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)

model = make_pipeline(StandardScaler(), NFMClassifier(8, dropout=0.3, batch_size=32, random_state=0))
p = model.fit(X, y).predict_proba(X_test)[:, 1]
print(f"AUC {roc_auc_score(y_test, p):.3f}, accuracy {accuracy_score(y_test, p > 0.5):.3f}")
